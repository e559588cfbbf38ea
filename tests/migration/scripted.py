"""Loops, streams and hosts that do nothing until the test says so.

A test specifies an interleaving: whose inbox is delivered next, and when a stream
becomes quiet, becomes active again or is detached.  What they may do is defined in
``aioadapt/migration/ports.py``.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from aioadapt import LoopStats, LoopStoppedError, LoopThread, Phase
from aioadapt.migration.connection import Connection, connection_of
from aioadapt.migration.ports import (
    Message,
    ProtocolFactory,
    Released,
    ReleaseHandler,
    ServingLoop,
    Stream,
)

ADDRESS = ("127.0.0.1", 8000)


@dataclass
class ScriptedReleased:
    fd: int
    peername: Any
    id: int
    tag: object
    unread: bytes = b""
    requests: int = 0
    last_byte_at: float = 0.0
    family: int = socket.AF_UNIX
    type: int = socket.SOCK_STREAM
    proto: int = 0
    sockname: Any = ADDRESS


class ScriptedStream:
    """A quiet stream: asked to release, it stops reading and settles until detached."""

    def __init__(
        self, loop: "ScriptedLoop", released: Released, protocol: asyncio.BaseProtocol
    ) -> None:
        self.loop = loop
        self.fd = released.fd
        self.id = released.id
        self.peername = released.peername
        self.sockname = released.sockname
        self.requests = released.requests
        self.last_byte_at = released.last_byte_at
        self.tag = released.tag
        self.protocol = protocol
        self.busy_with = ""
        self.opaque = False
        self.closed = False
        self.reading = True
        self.handler: ReleaseHandler | None = None
        self.times_asked = 0
        self.becomes_busy_when_asked = False

    @property
    def why_not_quiet(self) -> str:
        return self.busy_with

    @property
    def quiet(self) -> bool:
        return not self.busy_with

    def release(self, handler: ReleaseHandler, *, immediately: bool = False) -> None:
        assert self.handler in (None, handler), "one handler at a time"
        self.times_asked += 1
        if self.becomes_busy_when_asked:
            self.becomes_busy()
        if self.closed:
            handler.closed()
        else:
            self.handler = handler
            self.looks()

    def cancel_release(self) -> None:
        self.handler = None
        self.reading = not self.closed

    # -- What the test makes happen.

    def becomes_busy(self, why: str = "a request is being answered") -> None:
        self.busy_with = why

    def becomes_quiet(self) -> None:
        self.busy_with = ""
        self.looks()

    def becomes_active(self, why: str = "write buffer not empty") -> None:
        assert not self.reading, "it does not settle"
        self.busy_with = why
        self.reading = True
        assert self.handler is not None
        self.handler.became_active()

    def detaches(self, unread: bytes = b"") -> None:
        assert not self.reading, "it still reads"
        handler, self.handler = self.handler, None
        assert handler is not None, "nobody wants it to leave"
        self.closed = True
        self.loop.all_streams.remove(self)
        handler.released(
            ScriptedReleased(
                fd=self.fd,
                peername=self.peername,
                id=self.id,
                tag=self.tag,
                unread=unread,
                requests=self.requests,
                last_byte_at=self.last_byte_at,
            )
        )

    def ends(self) -> None:
        """The peer left, or the server closed the connection."""
        self.closed = True
        self.reading = False
        self.loop.all_streams.remove(self)
        os.close(self.fd)
        handler, self.handler = self.handler, None
        if handler is not None:
            handler.closed()

    def looks(self) -> None:
        """What happens at the end of an iteration."""
        handler = self.handler
        if handler is None or self.busy_with or not self.reading:
            return
        if handler.may_release():
            self.reading = False
            handler.stopped_reading()


class ScriptedLoop(ServingLoop):
    def __init__(self, *, serves: bool = True) -> None:
        self.now = 100.0
        self.all_streams: list[ScriptedStream] = []
        self.inbox: list[Message] = []
        self.open = True
        self.factory: ProtocolFactory | None = asyncio.Protocol if serves else None
        self.reported: list[dict[str, Any]] = []
        self.posts = 0

    def time(self) -> float:
        return self.now

    def streams(self) -> list[Stream]:
        return list(self.all_streams)

    def serving_on(self, sockname: Any) -> tuple[ProtocolFactory, Any] | None:
        if self.factory is None or sockname != ADDRESS:
            return None
        return self.factory, "server"

    def post(self, message: Message) -> None:
        if not self.open:
            raise LoopStoppedError("the scripted loop takes no more")
        self.posts += 1
        self.inbox.append(message)

    def yield_to(self, other: object) -> None:
        """The test decides which thread runs."""

    def close_inbox(self) -> None:
        self.open = False
        undelivered, self.inbox = self.inbox, []
        for message in undelivered:
            message.refuse()

    def adopt(
        self, released: Released, protocol_factory: ProtocolFactory, server: Any
    ) -> Stream:
        stream = ScriptedStream(self, released, protocol_factory())
        self.all_streams.append(stream)
        return stream

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.reported.append(context)

    def deliver(self) -> int:
        """One iteration: deliver what is in the inbox now, not what arrives later."""
        count = len(self.inbox)
        for _ in range(count):
            self.inbox.pop(0).deliver()
        if count:
            for stream in list(self.all_streams):
                stream.looks()
        return count

    def submit_reads(self) -> None:
        assert self.all_streams, "there is nothing to read from"

    def stats(self) -> LoopStats:
        raise NotImplementedError


class ScriptedHost:
    """The part of a LoopThread that moves use."""

    def __init__(self, name: str, engine: str, *, serves: bool = True) -> None:
        self.name = name
        self.engine = engine
        # It has only what moves need.
        self.loop = ScriptedLoop(serves=serves)  # type: ignore[abstract]
        self.running = True
        self.stop_callbacks: set[Callable[[], None]] = set()
        self._peers: list[socket.socket] = []

    @property
    def thread(self) -> LoopThread:
        return cast(LoopThread, self)

    @property
    def connections(self) -> list[Connection]:
        return [connection_of(stream, self.thread) for stream in self.loop.streams()]

    def connected(self) -> tuple[ScriptedStream, Connection, socket.socket]:
        """A new quiet connection: its stream, its handle and its peer."""
        ours, peer = socket.socketpair()
        peer.setblocking(False)
        self._peers.append(peer)
        ScriptedHost.ids += 1
        released = ScriptedReleased(
            fd=ours.detach(), peername=f"peer {self.ids}", id=self.ids, tag=None,
            last_byte_at=self.loop.now,
        )  # fmt: skip
        stream = ScriptedStream(self.loop, released, asyncio.Protocol())
        self.loop.all_streams.append(stream)
        return stream, connection_of(stream, self.thread), peer

    ids = 0

    def stops(self) -> None:
        """Like ``LoopThread``: first the stop_callbacks, then the inbox and streams."""
        self.begins_to_stop()
        self.loop.close_inbox()
        for stream in list(self.loop.all_streams):
            stream.ends()

    def begins_to_stop(self) -> None:
        """Its loop still runs, so that its tasks can end."""
        self.running = False
        for callback in list(self.stop_callbacks):
            callback()

    def close(self) -> None:
        for stream in list(self.loop.all_streams):
            stream.ends()
        for peer in self._peers:
            peer.close()

    def __repr__(self) -> str:
        return f"<scripted host {self.name!r}>"


def peer_sees_the_end(peer: socket.socket) -> bool:
    """Whether the owner of the other end of *peer* has closed it."""
    try:
        return peer.recv(1) == b""
    except BlockingIOError:
        return False


def connected(host: ScriptedHost, count: int) -> list[ScriptedStream]:
    return [host.connected()[0] for _ in range(count)]


def connections_of(streams: list[ScriptedStream]) -> list[Connection]:
    found = []
    for stream in streams:
        assert isinstance(stream.tag, Connection)
        found.append(stream.tag)
    return found


def settling(streams: list[ScriptedStream]) -> list[ScriptedStream]:
    return [stream for stream in streams if not stream.reading and not stream.closed]


def only_stream_of(host: ScriptedHost) -> ScriptedStream:
    (stream,) = host.loop.all_streams
    return stream


def phase_of(connection: Connection) -> Phase:
    return connection.phase


def untouched(
    a: ScriptedHost, b: ScriptedHost, stream: ScriptedStream, connection: Connection
) -> bool:
    return (
        stream.reading
        and stream.handler is None
        and connection.thread is a.thread
        and connection.phase is Phase.SERVING
        and b.loop.posts == 0
    )

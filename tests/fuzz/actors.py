"""What a program acts on: connections, datagram endpoints, and pairs of raw sockets.

Each has a trace of its own and a peer, and what a program wants done in its callbacks.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .peers import DatagramPeer, Peer, pattern
from .program import Act

if TYPE_CHECKING:
    from .world import World

Reactions = tuple[tuple[str, Act], ...]


class Actor:
    kind = "actor"

    def __init__(self, world: "World", peer: Peer, reactions: Reactions = ()) -> None:
        self.world = world
        self.peer = peer
        self.loop = world.loop
        self.name = f"{self.kind} {len(world.all(type(self)))}"
        self.reactions: dict[str, deque[Act]] = {}
        for callback, act in reactions:
            self.reactions.setdefault(callback, deque()).append(act)
        self.last_state: tuple[Any, ...] = ()
        world.actors.append(self)

    def called(self, callback: str, *details: Any) -> Any:
        """Log a callback, and do what the program wants done in it."""
        self.world.log.called(self.name, callback, *details, _who())
        return self.react(callback)

    def react(self, callback: str) -> Any:
        waiting = self.reactions.get(callback)
        if not waiting:
            return None
        act = waiting.popleft()
        given = self.world.do(act, self)
        return given if act.verb == "give" else None

    def state(self) -> tuple[Any, ...]:
        return (str(self.peer),)

    def note_state(self) -> None:
        state = self.state()
        if state != self.last_state:
            self.last_state = state
            self.world.log.add(self.name, "now", *state)

    def end(self) -> None:
        """As a tidy program would, at its end."""

    def forget(self) -> None:
        """Refer to nothing of the loop any more."""
        self.reactions.clear()
        self.loop = None

    def close(self) -> None:
        self.peer.sock.close()


class WithTransport(Actor):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.transport: Any = None
        self.protocol: Any = None
        self.is_lost = False

    def transport_state(self) -> tuple[Any, ...]:
        if self.is_lost:
            # asyncio's datagram transport goes on counting what it has dropped.
            return (("closing", self.transport.is_closing()),)
        return (
            ("closing", self.transport.is_closing()),
            ("unsent", self.transport.get_write_buffer_size() > 0),
        )

    def end(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def forget(self) -> None:
        super().forget()
        self.transport = self.protocol = None


class Connection(WithTransport):
    """A transport of the loop, its protocol's callbacks, and its peer."""

    kind = "connection"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.written = 0
        self.received = 0
        self.is_part = False
        self.is_tls = False
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    def state(self) -> tuple[Any, ...]:
        state: tuple[Any, ...] = ()
        # asyncio's TLS transport answers nothing once it has no protocol.
        is_void = getattr(self.transport, "_ssl_protocol", "-") is None
        if self.transport is not None and not (
            (self.is_tls and self.is_lost) or is_void
        ):
            state = self.transport_state()
            self.is_part = self.is_part or ("unsent", True) in state
            if not self.is_lost:
                state += (("reading", self.transport.is_reading()),)
        is_stuck = self.is_part or not self.peer.reads
        return (*state, self.peer.roughly() if is_stuck else str(self.peer))

    def took(self, data: bytes | bytearray | memoryview) -> int:
        size = len(data)
        if data != pattern(self.received, size):
            self.world.log.add(self.name, "corrupt")
        self.received += size
        return size

    def forget(self) -> None:
        super().forget()
        self.reader = self.writer = None


class Endpoint(WithTransport):
    """A datagram transport."""

    kind = "datagrams"
    peer: DatagramPeer

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.sent = 0

    def state(self) -> tuple[Any, ...]:
        state = self.transport_state() if self.transport is not None else ()
        return (*state, str(self.peer))


class Pair(Actor):
    """A raw socket, which the loop's ``sock_*`` calls and its readers use."""

    kind = "pair"

    def __init__(self, world: "World", sock: socket.socket, peer: Peer, *args: Any):
        super().__init__(world, peer, *args)
        self.sock = sock
        self.written = 0
        self.received = 0
        self.waiting = 0
        self.is_sending = False
        self.is_torn = False
        """A part of something was sent: what follows has no known place."""

    def state(self) -> tuple[Any, ...]:
        return ("-",) if self.is_torn or self.is_sending else super().state()

    def took(self, data: bytes | bytearray | memoryview) -> str:
        size = len(data)
        fits = data == pattern(self.received, size)
        self.received += size
        return f"{size} bytes{'' if fits else ', corrupt'}"

    def close(self) -> None:
        super().close()
        self.sock.close()


class Listening:
    """A server of the loop; accepted connections come in the order of connecting."""

    def __init__(self, server: asyncio.Server) -> None:
        self.server = server
        self.servers = [server]
        self.sock = server.sockets[0]
        self.address = self.sock.getsockname()
        self.waiting: deque[Connection] = deque()
        self.factory: Callable[[], Any]
        self.is_tls = False


def _who() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return "no loop"
    if task is None:
        return "callback"
    return "task " + str(getattr(task.get_coro(), "__name__", "?"))

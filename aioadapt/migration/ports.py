"""The interfaces that moving needs from a loop and its streams.

Nothing is implemented here.  Both loops have these interfaces, and so do the
scripted loops of the tests.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aioadapt.stats import LoopStats

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Message(Protocol):
    """A message to another thread.  Exactly one of these is called, once."""

    def deliver(self) -> None:
        """On the loop's thread."""

    def refuse(self) -> None:
        """The loop closes before delivering it; called on the thread that closes it."""


class Released(Protocol):
    """A descriptor that a loop has released, and what the loop knew about it."""

    fd: int
    family: int
    type: int
    proto: int
    peername: Any
    sockname: Any
    unread: bytes
    id: int
    requests: int
    last_byte_at: float
    tag: object


class ReleaseHandler(Protocol):
    """Told how a stream's release goes, always on the stream's thread."""

    @property
    def admission_group(self) -> object:
        """Handlers with the same group share the answer of ``may_release``.

        None: the answer is for this handler only.
        """

    def may_release(self) -> bool:
        """The stream is quiet and would stop reading now.

        On False it continues to read and asks again when the next iteration ends,
        whatever woke the loop.  Other handlers of the same admission group may be
        skipped until then.
        """

    def stopped_reading(self) -> None:
        """It was quiet, and now settles for one whole iteration."""

    def became_active(self) -> None:
        """The server did something while it settled.

        It is read again, and the release stays requested.  ``cancel_release`` may be
        called from here.
        """

    def released(self, released: Released) -> None:
        """The handler owns the descriptor now."""

    def closed(self) -> None:
        """It ended before it could be released; nothing more is called."""


class Stream(Protocol):
    """A server connection.  Its attributes may be read from any thread."""

    id: int
    peername: Any
    sockname: Any
    requests: int
    last_byte_at: float
    tag: object

    @property
    def quiet(self) -> bool: ...
    @property
    def why_not_quiet(self) -> str: ...
    @property
    def opaque(self) -> bool: ...
    @property
    def closed(self) -> bool: ...

    def release(self, handler: ReleaseHandler, *, immediately: bool = False) -> None:
        """On the loop's thread: release the connection as soon as it is quiet.

        The handler's ``may_release`` is called whenever an iteration ends and the
        stream is quiet; with *immediately*, also before this returns.
        """

    def cancel_release(self) -> None:
        """On the loop's thread: cancel the release and drop its handler.

        Reading continues.  Does nothing if no release is pending or it is closed.
        """


class ServingLoop(asyncio.AbstractEventLoop):
    """An asyncio loop that can release its connections and adopt others."""

    watch_http1: bool

    def streams(self) -> list[Stream]:
        """The live server connections; from any thread."""
        raise NotImplementedError

    def serving_on(self, sockname: Any) -> tuple[ProtocolFactory, Any] | None:
        """The factory and the server that listens there; from any thread.

        A listener that is closed meanwhile may or may not be found; it never raises.
        """
        raise NotImplementedError

    def post(self, message: Message) -> None:
        """From any thread; ``LoopStoppedError`` if the loop accepts no more."""
        raise NotImplementedError

    def close_inbox(self) -> None:
        """Refuse undelivered messages and accept no new ones."""
        raise NotImplementedError

    def yield_to(self, other: "ServingLoop") -> None:
        """On the loop's thread: when this iteration ends, yield the GIL until *other*
        has taken its messages, and keep the next iterations short."""
        raise NotImplementedError

    def adopt(
        self, released: Released, protocol_factory: ProtocolFactory, server: Any
    ) -> Stream:
        """On the loop's thread.  The descriptor is the loop's unless this raises."""
        raise NotImplementedError

    def submit_reads(self) -> None:
        """Submit every read that was armed in this iteration to the kernel."""
        raise NotImplementedError

    def stats(self) -> LoopStats:
        raise NotImplementedError

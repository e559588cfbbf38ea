"""What moving asks of a loop and of its streams.

Nothing is implemented here: the loops have these shapes, and so have the
scripted ones of the tests.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aioadapt.stats import LoopStats

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Message(Protocol):
    """Something for another thread.  Exactly one of the two is called, once."""

    def deliver(self) -> None:
        """On the loop's thread."""

    def refuse(self) -> None:
        """The loop closes without having come to it: on the thread that closes."""


class Released(Protocol):
    """A descriptor that a loop has let go, and what it knew of it."""

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
    """Told how a stream's leaving goes, always on the stream's thread."""

    @property
    def admission_group(self) -> object:
        """Those who share it share the answer of ``may_release``; None: nobody."""

    def may_release(self) -> bool:
        """The stream is quiet and would stop reading now.  On False it reads
        on and asks again when the next iteration ends, whatever that is for; those
        of the same party need not be asked before."""

    def stopped_reading(self) -> None:
        """It was quiet, and rests for one whole iteration."""

    def became_active(self) -> None:
        """The server did something while it rested: it is read again and the
        wish stays.  ``stay`` may be called from here."""

    def released(self, released: Released) -> None:
        """The descriptor is the handler's."""

    def closed(self) -> None:
        """It ended before it could be released; the wish is over."""


class Stream(Protocol):
    """A server connection.  What can be read may be read from any thread."""

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
        """On the loop's thread: go as soon as you are quiet.

        It is asked ``may_release`` whenever an iteration ends and it is quiet;
        *max_in_flight*, before this returns.
        """

    def cancel_release(self) -> None:
        """On the loop's thread: the wish is withdrawn, its handler forgotten.

        Reading goes on.  Without a wish, or closed, this does nothing.
        """


class ServingLoop(asyncio.AbstractEventLoop):
    """An asyncio loop that can hand its connections over and take others in."""

    watch_http1: bool

    def streams(self) -> list[Stream]:
        """The live server connections; from any thread."""
        raise NotImplementedError

    def serving_on(self, sockname: Any) -> tuple[ProtocolFactory, Any] | None:
        """The factory and the server that listens there; from any thread.

        A listener that closes meanwhile is seen or not; this does not raise.
        """
        raise NotImplementedError

    def post(self, message: Message) -> None:
        """From any thread; ``LoopStoppedError`` if the loop takes no more."""
        raise NotImplementedError

    def close_inbox(self) -> None:
        """Refuse what is undelivered and whatever comes."""
        raise NotImplementedError

    def yield_to(self, other: "ServingLoop") -> None:
        """On the loop's thread: when this iteration ends, stand back until *other*
        has opened its letters; and keep the next iterations short."""
        raise NotImplementedError

    def adopt(
        self, released: Released, protocol_factory: ProtocolFactory, server: Any
    ) -> Stream:
        """On the loop's thread.  The descriptor is the loop's unless this raises."""
        raise NotImplementedError

    def submit_reads(self) -> None:
        """Have the kernel know of every read that was armed in this iteration."""
        raise NotImplementedError

    def stats(self) -> LoopStats:
        raise NotImplementedError

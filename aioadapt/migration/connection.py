"""A connection as users see it: one object for its whole life.

Every move gives a connection a new stream; its ``Connection`` moves along as the
stream's ``tag``.  Any thread may read a Connection, and one thread at a time writes
it: the thread whose loop serves the connection or, between the loops, the move.  The
move's messages order these writers one after another.
"""

import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from .phase import Phase
from .ports import Released, ServingLoop, Stream

T = TypeVar("T")

_SERVED = frozenset({Phase.SERVING, Phase.MOVED, Phase.RETURNED})


class ServingThread(Protocol):
    """A thread whose loop serves connections: a :class:`aioadapt.LoopThread`.

    Attributes:
        name: unique in the process, for messages.
        stop_callbacks: called on the thread when it stops, before its tasks and
            streams are ended.
    """

    name: str
    stop_callbacks: set[Callable[[], None]]

    @property
    def loop(self) -> ServingLoop:
        """Its loop; ``LoopStoppedError`` before there is one."""

    @property
    def running(self) -> bool:
        """Whether its loop accepts calls and connections."""

    @property
    def engine(self) -> str:
        """As :attr:`aioadapt.LoopThread.engine`."""

    def submit(self, coro: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """As :meth:`aioadapt.LoopThread.submit`."""

    @property
    def connections(self) -> list["Connection"]:
        """As :attr:`aioadapt.LoopThread.connections`."""


class Connection:
    """A live server connection of a :class:`aioadapt.LoopThread`.

    Attributes:
        id: unique in the process; stays the same when the connection moves.
        peername: the peer's address, as from asyncio.
    """

    __slots__ = (
        "__weakref__",
        "_loop",
        "_move",
        "_phase",
        "_seen",
        "_stream",
        "_thread",
        "id",
        "peername",
    )

    def __init__(self, stream: Stream, thread: ServingThread) -> None:
        self.id: int = stream.id
        self.peername: Any = stream.peername
        self._thread = thread
        self._loop: ServingLoop = thread.loop
        self._stream = stream
        # Has its latest figures: the stream, or what the stream released.
        self._seen: Stream | Released = stream
        self._phase = Phase.SERVING
        # Set on the thread that serves it and cleared when the move finishes, so
        # there is one move at a time.
        self._move: object | None = None

    @property
    def thread(self) -> ServingThread:
        """The thread that serves it; during a move, the one it comes from."""
        return self._thread

    @property
    def phase(self) -> Phase:
        """Phase of its latest move; ``SERVING`` before any, ``CLOSED`` at the end."""
        phase = self._phase
        if phase in _SERVED and self._stream.closed:
            return Phase.CLOSED
        return phase

    @property
    def requests(self) -> int:
        """Requests answered so far, on all loops."""
        return self._seen.requests

    @property
    def quiet(self) -> bool:
        """Whether it could be moved right now."""
        return self.phase in _SERVED and self._stream.quiet

    @property
    def idle_s(self) -> float:
        """Seconds since its last byte, in either direction."""
        return max(0.0, self._loop.time() - self._seen.last_byte_at)

    def __repr__(self) -> str:
        return (
            f"<Connection {self.id} from {self.peername!r} on {self._thread.name!r}: "
            f"{self.phase.value}; {self.requests} requests answered>"
        )


_creation_lock = threading.Lock()


def connection_of(stream: Stream, thread: ServingThread) -> Connection:
    """The one Connection of *stream*, created when first asked for."""
    # Two threads may ask at the same time.
    with _creation_lock:
        if stream.tag is None:
            stream.tag = Connection(stream, thread)
        assert isinstance(stream.tag, Connection), stream.tag
        return stream.tag

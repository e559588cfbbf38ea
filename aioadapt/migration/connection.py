"""A connection as users see it: one object for its whole life.

Every move gives a connection a new stream; its ``Connection`` moves along as the
stream's ``tag``.  Any thread may read a Connection, and one thread at a time writes
it: the thread whose loop serves the connection or, between the loops, the move.  The
move's messages order these writers one after another.
"""

import threading
from typing import TYPE_CHECKING, Any

from .phase import Phase
from .ports import Released, ServingLoop, Stream

if TYPE_CHECKING:
    from aioadapt.loop_thread import LoopThread

    from .move import Move

_SERVED = frozenset({Phase.SERVING, Phase.MOVED, Phase.RETURNED})


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

    def __init__(self, stream: Stream, thread: "LoopThread") -> None:
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
        self._move: Move | None = None

    @property
    def thread(self) -> "LoopThread":
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


def connection_of(stream: Stream, thread: "LoopThread") -> Connection:
    """The one Connection of *stream*, created when first asked for."""
    # Two threads may ask at the same time.
    with _creation_lock:
        if stream.tag is None:
            stream.tag = Connection(stream, thread)
        assert isinstance(stream.tag, Connection), stream.tag
        return stream.tag

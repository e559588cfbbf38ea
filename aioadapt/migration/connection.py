"""A connection as its users see it: one object for its whole life.

The stream that serves a connection changes with every move; its
``Connection`` is carried along in the stream's ``tag``.  Any thread may read
one.  It is written by one thread at a time: the one whose loop serves it, and
between the loops by the move, whose messages order one writer after another.
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
        id: unique in the process, the same on whichever loop it lives.
        peername: the other end's address, as asyncio gives it.
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
        # The last to know its figures: the stream, or what it released.
        self._seen: Stream | Released = stream
        self._phase = Phase.SERVING
        # Set and cleared on the thread that serves it: one move at a time.
        self._move: Move | None = None

    @property
    def thread(self) -> "LoopThread":
        """Where it is served; on its way, the thread that it comes from."""
        return self._thread

    @property
    def phase(self) -> Phase:
        """Of its latest move; ``SERVING`` if there was none, ``CLOSED`` at the end."""
        phase = self._phase
        if phase in _SERVED and self._stream.closed:
            return Phase.CLOSED
        return phase

    @property
    def requests(self) -> int:
        """Requests answered so far, on all loops together."""
        return self._seen.requests

    @property
    def quiet(self) -> bool:
        """Whether it could be moved at this moment."""
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


_making = threading.Lock()


def connection_of(stream: Stream, thread: "LoopThread") -> Connection:
    """The one Connection of *stream*, made when somebody first asks for it."""
    # Two threads may ask at once.
    with _making:
        if stream.tag is None:
            stream.tag = Connection(stream, thread)
        assert isinstance(stream.tag, Connection), stream.tag
        return stream.tag

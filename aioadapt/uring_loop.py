"""UringEventLoop: asyncio on io_uring(7)."""

from __future__ import annotations

from ._datagram.ways import CompletionDatagrams
from ._stream.completion import CompletionWay
from ._stream.completion_turn import CompletionTurn
from ._stream.listener import CompletionListener
from .native_loop import NativeLoop
from .support import uring_refusal


class UringEventLoop(CompletionTurn, NativeLoop):
    """An asyncio event loop that waits for completions.

    Best for many connections.  Its ring is made when the loop first runs, on
    the thread that runs it.

    Raises:
        UringUnavailableError: this kernel or sandbox allows no io_uring; the
            message says which of them and what to do.
    """

    _way_type = CompletionWay
    _datagram_way_type = CompletionDatagrams
    _listener_type = CompletionListener
    engine = "uring"

    def __init__(self) -> None:
        refusal = uring_refusal()
        if refusal is not None:
            self._closed = True  # nothing to warn of when it is collected
            raise refusal.error()
        super().__init__()

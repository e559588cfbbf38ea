"""UringEventLoop: asyncio on io_uring(7)."""

from __future__ import annotations

from ._engine.uring.core import UringCore
from ._engine.uring.datagram_driver import UringDatagramDriver
from ._engine.uring.stream_driver import UringStreamDriver
from .native_loop import NativeLoop
from .support import uring_refusal


class UringEventLoop(UringCore, NativeLoop):
    """An asyncio event loop that waits for completions.

    Best for many connections.  Its ring is created when the loop first runs, on
    the thread that runs it.

    Raises:
        UringUnavailableError: this kernel or sandbox does not allow io_uring; the
            message says which of them and what to do.
    """

    _stream_driver_type = UringStreamDriver
    _datagram_driver_type = UringDatagramDriver
    engine = "uring"

    def __init__(self) -> None:
        refusal = uring_refusal()
        if refusal is not None:
            self._closed = True  # no ResourceWarning when it is collected
            raise refusal.error()
        super().__init__()

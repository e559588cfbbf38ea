"""EpollEventLoop: asyncio on epoll(7)."""

from __future__ import annotations

from ._engine.epoll.core import EpollCore
from ._engine.epoll.driver import EpollDriver
from .native_loop import NativeLoop


class EpollEventLoop(EpollCore, NativeLoop):
    """An asyncio event loop that waits for readiness.

    Best for few connections; runs on every Linux.  It can be used as a loop
    factory: ``asyncio.Runner(loop_factory=aioadapt.EpollEventLoop)``.
    """

    _stream_driver_type = EpollDriver
    _datagram_driver_type = EpollDriver
    engine = "epoll"

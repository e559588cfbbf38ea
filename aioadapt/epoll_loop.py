"""EpollEventLoop: asyncio on epoll(7)."""

from __future__ import annotations

from ._engine.epoll.core import EpollCore
from ._engine.epoll.datagram_driver import EpollDatagramDriver
from ._engine.epoll.stream_driver import EpollStreamDriver
from .native_loop import NativeLoop


class EpollEventLoop(EpollCore, NativeLoop):
    """An asyncio event loop that waits for readiness.

    Best for few connections; runs on every Linux.  It can be used as a loop
    factory: ``asyncio.Runner(loop_factory=aioadapt.EpollEventLoop)``.
    """

    _stream_driver_type = EpollStreamDriver
    _datagram_driver_type = EpollDatagramDriver
    engine = "epoll"

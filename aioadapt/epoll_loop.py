"""EpollEventLoop: asyncio on epoll(7)."""

from __future__ import annotations

from ._datagram.ways import ReadinessDatagrams
from ._stream.listener import ReadinessListener
from ._stream.readiness import ReadinessTurn, ReadinessWay
from .native_loop import NativeLoop


class EpollEventLoop(ReadinessTurn, NativeLoop):
    """An asyncio event loop that waits for readiness.

    Best for few connections; runs on every Linux.  Can be given to asyncio as
    a loop factory: ``asyncio.Runner(loop_factory=aioadapt.EpollEventLoop)``.
    """

    _way_type = ReadinessWay
    _datagram_way_type = ReadinessDatagrams
    _listener_type = ReadinessListener
    engine = "epoll"

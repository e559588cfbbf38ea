"""AdaptiveEventLoop: asyncio on epoll(7) and io_uring(7), with connections on either."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from ._engine.adaptive_core import AdaptiveCore
from ._engine.epoll.driver import EpollDriver
from ._engine.uring.stream_driver import UringStreamDriver
from ._stream.stream import Stream
from ._stream.transport import StreamTransport
from .control import calibration
from .control.decide import Decision
from .control.in_loop import LoopController
from .control.sample import Engine
from .control.start import WorkloadHint, choose_start, gains_somewhere
from .control.thresholds import Thresholds
from .errors import UnknownEngineError
from .native_loop import NativeLoop
from .support import uring_refusal

SWAPS_PER_ITERATION = 256
"""Each takes 3 to 7 us (measured): about a millisecond, in which nobody is served."""

RING_IDLE_S = 30.0
"""A guess: how long a ring that serves nothing is kept; a load that comes and goes."""

_log = logging.getLogger("aioadapt")


def _uring_driver(loop: AdaptiveEventLoop) -> Any:
    try:
        loop.open_ring()
    except OSError as error:
        loop._stay_on_epoll(error)
        return EpollDriver(loop)
    return UringStreamDriver(loop)


_DRIVERS: dict[str, Any] = {"epoll": EpollDriver, "uring": _uring_driver}


class AdaptiveEventLoop(AdaptiveCore, NativeLoop):
    """An asyncio event loop whose connections are on epoll or on io_uring.

    A connection can be given the other engine at any moment, while it lives and
    whatever protocol it has: nothing of it is lost, and neither the protocol nor the
    peer can tell.  New connections get :attr:`engine`.

    Its controller looks at the load four times a second while the loop runs, and lets
    the loop prefer the engine that suits it; :attr:`decisions` says why.

    Where io_uring cannot be used this is a loop on epoll, and :attr:`refusal` says why.
    """

    _datagram_driver_type = EpollDriver
    _engine: Engine

    def __init__(
        self,
        *,
        start: str | None = None,
        hint: WorkloadHint | None = None,
        thresholds: Thresholds | None = None,
        adapting: bool = True,
    ) -> None:
        """
        Args:
            start: "epoll" or "uring" pins the loop to this engine; None and "auto"
                leave the choice.  ``$AIOADAPT_START`` overrides it.
            hint: the expected workload; it only decides which engine it starts on.
            thresholds: None for those that ``aioadapt calibrate`` has stored, or else
                the defaults of :class:`Thresholds`.
            adapting: False for no switches with the load; the safety revert and
                requested switches remain.

        Raises:
            UnknownEngineError: *start* or ``$AIOADAPT_START`` names no known engine.
            UringUnavailableError: "uring" was named, and cannot be used here.
            ThresholdsError: the stored thresholds are invalid.
        """
        self._closed = True  # no ResourceWarning if this raises
        refusal = uring_refusal()
        #: Why io_uring cannot be used; None if it can.
        self.refusal: str | None = None if refusal is None else refusal.reason
        stored = thresholds or calibration.load()
        self.start = choose_start(start=start, hint=hint, gains=gains_somewhere(stored))
        self._set_engine(self.start.engine)
        self._following: deque[Stream] = deque()
        self._ring_timer: asyncio.TimerHandle | None = None
        self._controller = LoopController(
            thresholds=stored or Thresholds(),
            adapting=adapting and not self.start.pinned,
        )
        if refusal is None:
            self._look_every(self._controller.thresholds.tick_s)
        super().__init__()

    @property
    def engine(self) -> Engine:  # type: ignore[override]
        """ "epoll" or "uring": what new connections get, and live ones follow."""
        return self._engine

    @property
    def decisions(self) -> Sequence[Decision]:
        """What its controller has decided, newest last; see :class:`Decision`.

        Of consecutive decisions to stay by the same rule only the newest is kept.
        """
        return self._controller.decisions

    def prefer(self, engine: str) -> None:
        """Serve new connections on this engine from now on; live ones follow.

        It may be called from any thread.  A bounded number of connections follows in
        each iteration, while the others are served.

        Args:
            engine: "epoll" or "uring".

        Raises:
            UnknownEngineError: there is no such engine.
            UringUnavailableError: io_uring cannot be used here.
            RuntimeError: the loop is closed.
        """
        self.call_soon_threadsafe(self._asked, self._checked(engine))

    def swap(self, transport: asyncio.BaseTransport, engine: str) -> None:
        """Serve one connection on this engine, from the end of the iteration on.

        Call it on the loop's thread.  The connection stays there until the loop
        prefers another engine.

        Args:
            transport: a stream transport of this loop.  Of a TLS transport the stream
                below it is meant.
            engine: "epoll" or "uring".

        Raises:
            UnknownEngineError: there is no such engine.
            UringUnavailableError: io_uring cannot be used here.
            TypeError: this is no stream transport of ours, so it has no engine.
            ValueError: it is another loop's.
        """
        self._swap(self._stream_of(transport), self._checked(engine))

    def _checked(self, engine: str) -> Engine:
        if engine not in _DRIVERS:
            known = ", ".join(map(repr, _DRIVERS))
            raise UnknownEngineError(
                f"a connection cannot be on engine {engine!r}; known: {known}"
            )
        if engine == "uring" and (refusal := uring_refusal()) is not None:
            raise refusal.error()
        return cast(Engine, engine)

    def _stream_of(self, transport: asyncio.BaseTransport) -> Stream:
        below: Any = transport
        while (tls := getattr(below, "_ssl_protocol", None)) is not None:
            below = tls._transport
        if not isinstance(below, StreamTransport):
            raise TypeError(
                f"{transport!r} has no engine to swap: it is no stream transport of "
                "this loop, or its connection has ended"
            )
        stream = below._stream
        if self.streams_by_fd.get(stream.fd) is not stream and not stream.closed:
            raise ValueError(f"{transport!r} is a connection of another loop")
        return stream

    # -- following ------------------------------------------------------------

    def _asked(self, engine: Engine) -> None:
        self._controller.asked(self._engine, engine, "loop.prefer() was called")
        self._prefer(engine)

    def _look(self) -> None:
        try:
            to = self._controller.look(self._engine, self.stats())
            if to != self._engine:
                self._prefer(to)
        except Exception:
            _log.exception("the controller failed; it looks again at the next tick")

    def _prefer(self, engine: Engine) -> None:
        self._set_engine(engine)
        self._following.clear()
        self._following.extend(self.streams_by_fd.values())
        self._begin_following()

    def _follow(self) -> bool:
        self._before_swaps()
        for _ in range(SWAPS_PER_ITERATION):
            if not self._following:
                return False
            stream = self._following.popleft()
            if stream.engine != self._engine and not stream.closed:
                stream.swap_now(self._new_driver(self._engine))
        return True

    def _swap(self, stream: Stream, engine: str) -> None:
        if stream.engine != engine:
            stream.swap_soon(self._new_driver(engine))

    def _set_engine(self, engine: Engine) -> None:
        self._engine = engine
        self._stream_driver_type = _DRIVERS[engine]

    # -- the ring -------------------------------------------------------------

    def _new_driver(self, engine: str) -> Any:
        return _DRIVERS[engine](self)

    def _stay_on_epoll(self, error: OSError) -> None:
        """There is no ring, for want of something that may be there again later."""
        _log.warning("connections are on epoll: no io_uring now: %s", error)
        self._set_engine("epoll")

    def _leave_ring(self, error: OSError) -> None:
        self._stay_on_epoll(error)
        for stream in list(self.streams_by_fd.values()):
            stream.swap_now(EpollDriver(self))

    def _ring_serves_nothing(self) -> None:
        if self._ring_timer is None and self.has_ring():
            self._ring_timer = self.call_later(RING_IDLE_S, self._release_ring)

    def close(self) -> None:
        """See :meth:`EpollEventLoop.close`."""
        super().close()
        self._ring_timer = None
        self._following.clear()

    def _release_ring(self) -> None:
        # One that was needed meanwhile serves nothing later, and this is called again.
        self._ring_timer = None
        self.release_ring()

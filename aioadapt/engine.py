"""Choosing an engine by name."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from .errors import UnknownEngineError
from .support import uring_refusal

ENGINES = ("auto", "adaptive", "epoll", "uring")

ENVIRONMENT_VARIABLE = "AIOADAPT_ENGINE"

_T = TypeVar("_T")

_log = logging.getLogger("aioadapt")
_has_told_of_fallback = False


def run(
    main: Coroutine[Any, Any, _T],
    *,
    engine: str | None = None,
    debug: bool | None = None,
) -> _T:
    """Run *main* to completion on a new loop, as :func:`asyncio.run` does.

    Args:
        main: the coroutine.
        engine: as in :func:`new_event_loop`.
        debug: asyncio's debug mode; None: taken from ``PYTHONASYNCIODEBUG``.

    Returns:
        What *main* returns.

    Raises:
        UnknownEngineError: there is no such engine.
        UringUnavailableError: *engine* is ``"uring"`` and io_uring cannot be used.
        RuntimeError: a loop is already running on this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        # Checked before a loop is made: a Runner cannot close one while another runs.
        raise RuntimeError("aioadapt.run() cannot be called from a running event loop")
    with asyncio.Runner(
        debug=debug, loop_factory=partial(new_event_loop, engine)
    ) as runner:
        return runner.run(main)


def new_event_loop(engine: str | None = None) -> asyncio.AbstractEventLoop:
    """Create a loop; this function can be passed as a loop factory.

    Args:
        engine: ``"epoll"``, ``"uring"``, ``"adaptive"``, or ``"auto"``, which is
            io_uring where it can be used and epoll otherwise.  If it is epoll, or if
            an adaptive loop can only use epoll, the reason is logged once per process,
            at level INFO on the logger ``aioadapt``.  None uses
            ``$AIOADAPT_ENGINE``, or ``"auto"`` if that is not set.

    Returns:
        An :class:`aioadapt.EpollEventLoop`, an :class:`aioadapt.UringEventLoop` or an
        :class:`aioadapt.AdaptiveEventLoop`.

    Raises:
        UnknownEngineError: there is no such engine.
        UringUnavailableError: *engine* is ``"uring"`` and io_uring cannot be
            used.  The message gives the cause and what to do.
    """
    return _factory(engine_name(engine))()


def engine_name(engine: str | None) -> str:
    """*engine* if given, else ``$AIOADAPT_ENGINE``, else ``"auto"``; validated."""
    if engine is not None:
        name, origin = engine, "the argument `engine`"
    else:
        name, origin = (
            os.environ.get(ENVIRONMENT_VARIABLE) or "auto",
            f"${ENVIRONMENT_VARIABLE}",
        )
    if name not in ENGINES:
        known = ", ".join(map(repr, ENGINES))
        raise UnknownEngineError(
            f"there is no engine {name!r} (from {origin}); known: {known}"
        )
    return name


def _factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop class for this engine, imported only when needed."""
    if name != "epoll":
        refusal = uring_refusal()
        if name == "adaptive":
            from .adaptive_loop import AdaptiveEventLoop

            if refusal is not None:
                _log_fallback(name, refusal.reason)
            return AdaptiveEventLoop
        if refusal is None:
            from .uring_loop import UringEventLoop

            return UringEventLoop
        if name == "uring":
            raise refusal.error()
        _log_fallback(name, refusal.reason)

    from .epoll_loop import EpollEventLoop

    return EpollEventLoop


def _log_fallback(name: str, reason: str) -> None:
    global _has_told_of_fallback
    if not _has_told_of_fallback:
        _has_told_of_fallback = True
        _log.info("engine %r falls back to epoll: %s", name, reason)

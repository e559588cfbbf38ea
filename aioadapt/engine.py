"""Choosing an engine by name, and getting asyncio to use it."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from .errors import UnknownEngineError
from .support import uring_refusal

ENGINES = ("auto", "epoll", "uring")

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
    """Run *main* to its end on a new loop, as :func:`asyncio.run` does.

    Args:
        main: the coroutine.
        engine: as in :func:`new_event_loop`.
        debug: asyncio's debug mode; None leaves it to ``PYTHONASYNCIODEBUG``.

    Returns:
        What *main* returns.

    Raises:
        UnknownEngineError: there is no such engine.
        UringUnavailableError: *engine* is ``"uring"`` and io_uring is not to be had.
        RuntimeError: a loop is running on this thread already.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        # Before a loop is made: a Runner cannot close one while another runs.
        raise RuntimeError("aioadapt.run() cannot be called from a running event loop")
    with asyncio.Runner(
        debug=debug, loop_factory=partial(new_event_loop, engine)
    ) as runner:
        return runner.run(main)


def new_event_loop(engine: str | None = None) -> asyncio.AbstractEventLoop:
    """Make a loop; give this function to whatever takes a loop factory.

    Args:
        engine: ``"epoll"``, ``"uring"``, or ``"auto"``, which is io_uring
            where it can be used and epoll elsewhere; in the latter case one
            line at INFO on the logger ``aioadapt`` says why, once per process.
            None takes ``$AIOADAPT_ENGINE``, or ``"auto"`` if that is not set.

    Returns:
        An :class:`aioadapt.EpollEventLoop` or an :class:`aioadapt.UringEventLoop`.

    Raises:
        UnknownEngineError: there is no such engine.
        UringUnavailableError: *engine* is ``"uring"`` and io_uring is not to
            be had.  The message tells the cause and what to do about it.
    """
    return _factory(engine_name(engine))()


def install(engine: str | None = None) -> None:
    """Make asyncio's own functions give our loops, by setting asyncio's policy.

    For programs that do not let their loop be chosen.  asyncio deprecates
    policies from Python 3.14 on and drops them in 3.16: there this warns as
    asyncio does.  :func:`run` and :func:`new_event_loop` need no policy.

    Args:
        engine: as in :func:`new_event_loop`; looked up now, once.

    Raises:
        UnknownEngineError: there is no such engine.
    """
    from .policy import EventLoopPolicy

    asyncio.set_event_loop_policy(EventLoopPolicy(engine))  # type: ignore[deprecated]


def engine_name(engine: str | None) -> str:
    """*engine* if given, else the environment's, else ``"auto"``; checked."""
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
    """What makes the loops of this engine here; each is imported only when wanted."""
    if name != "epoll":
        refusal = uring_refusal()
        if refusal is None:
            from .uring_loop import UringEventLoop

            return UringEventLoop
        if name == "uring":
            raise refusal.error()
        _tell_of_fallback(refusal.reason)

    from .epoll_loop import EpollEventLoop

    return EpollEventLoop


def _tell_of_fallback(reason: str) -> None:
    global _has_told_of_fallback
    if not _has_told_of_fallback:
        _has_told_of_fallback = True
        _log.info("engine 'auto' is epoll here: %s", reason)

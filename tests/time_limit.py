"""A test that exceeds its time limit fails alone; the others go on.

First a signal that no test uses interrupts the main thread: wherever that waits,
in Python or in the kernel, it raises ``TimeLimitExceeded``, the test fails and its
fixtures clean up.  This is a KeyboardInterrupt, because a loop propagates those
and reports every other exception of a callback.  A test that still runs after
that is stuck in C code: every thread's stack is printed and the process exits.
Under pytest-xdist a new worker replaces it and continues after the fatal test.

These are hooks of pytest, pytest-timeout and pytest-xdist; conftest.py imports them.
"""

import faulthandler
import os
import signal
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

INTERRUPT = signal.SIGRTMIN + 7
"""Otherwise unused: asyncio's and our own tests use the named signals."""

UNWINDS_WITHIN_S = 20.0
"""A guess, more than enough for fixtures that stop servers and join threads."""


_stderr = 2


def keep_stderr() -> Callable[[], None]:
    """Call it before pytest captures stderr; returns what releases it."""
    global _stderr
    _stderr = os.dup(2)
    return lambda: os.close(_stderr)


class TimeLimitExceeded(KeyboardInterrupt):
    """Raised in the main thread, wherever it is."""


_may_interrupt = False
"""Only while a test or its fixtures run; pytest itself is never interrupted."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _may_interrupt:
        raise TimeLimitExceeded


class _Limit:
    def __init__(self, seconds: float) -> None:
        # Runs on a C thread, which does not need the GIL.
        faulthandler.dump_traceback_later(
            seconds + UNWINDS_WITHIN_S, exit=True, file=_stderr
        )
        self._timer = threading.Timer(seconds, self._interrupt_main_thread)
        self._timer.daemon = True
        self._timer.start()

    @staticmethod
    def _interrupt_main_thread() -> None:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, INTERRUPT)

    def cancel(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._timer.cancel()
        self._timer.join()


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool:
    signal.signal(INTERRUPT, _interrupt)
    limit = _Limit(settings.timeout)
    item.cancel_timeout = limit.cancel  # type: ignore[attr-defined]
    return True


def _fails_instead() -> Generator[None, Any, Any]:
    global _may_interrupt
    _may_interrupt = True
    try:
        return (yield)
    except TimeLimitExceeded as error:
        raise pytest.fail.Exception("the time limit was exceeded") from error
    finally:
        _may_interrupt = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, Any, Any]:
    return (yield from _fails_instead())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    return (yield from _fails_instead())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, Any, Any]:
    return (yield from _fails_instead())


class OneCrashOneFailure(LoadFileScheduling):  # type: ignore[misc]
    """Schedules by file; a test that kills its worker fails, and all others run.

    xdist's own scheduler gives that test to the next worker, which dies, too, and
    hands out finished files again, on which a worker waits forever.
    """

    def remove_node(self, node: Any) -> str | None:
        unfinished = {
            scope: [nodeid for nodeid, is_done in unit.items() if not is_done]
            for scope, unit in self.assigned_work[node].items()
        }
        fatal: str | None = next((ids[0] for ids in unfinished.values() if ids), None)
        self.assigned_work[node] = {
            scope: {nodeid: False for nodeid in ids if nodeid != fatal}
            for scope, ids in unfinished.items()
            if set(ids) - {fatal}
        }
        super().remove_node(node)
        return fatal

    def _reschedule(self, node: Any) -> None:
        # If two workers start at the same time, one has not collected yet.
        if node not in self.registered_collections:
            return
        super()._reschedule(node)
        # A worker starts a test once it knows the next one, or that there is none.
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)


def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Any
) -> LoadFileScheduling | None:
    if config.getoption("dist") != "loadfile":
        return None
    return OneCrashOneFailure(config, log)

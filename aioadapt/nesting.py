"""nest_asyncio: a loop that one of its own callbacks runs.

nest_asyncio replaces methods of asyncio's loops by simpler ones, which work on their
ready queue and their selector.  Our loops can run within themselves without that.  They
do so from ``nest_asyncio.apply()`` on, and tell it that nothing is left to replace.

As with nest_asyncio on asyncio's loop, what the inner run waits for has to come from
callbacks other than those that wait for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .stdlib_private import enter_current_tasks, leave_current_tasks


def is_applied() -> bool:
    """Has nest_asyncio been applied in this process, to any loop?"""
    return hasattr(asyncio, "_nest_patched")


class Nesting(asyncio.SelectorEventLoop):
    """The part of a loop that runs it within itself, or within another loop."""

    # Provided by LoopCore; declared for the type checker.
    _stopping: bool
    _thread_id: int | None

    if TYPE_CHECKING:

        def _run_once(self) -> None: ...

    @property
    def _nest_patched(self) -> bool:
        """nest_asyncio's mark on a loop whose methods it has replaced."""
        if not is_applied():
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute '_nest_patched'"
            )
        return True

    def run_until_complete(self, future: Any) -> Any:
        """See asyncio's documentation."""
        if not self._is_run_within():
            with beside_a_running_loop():
                return super().run_until_complete(future)
        task = asyncio.ensure_future(future, loop=self)
        if task is not future:
            # Whoever called this learns of its exception.
            task._log_destroy_pending = False
        with no_task_running(self):
            while not task.done():
                self._run_once()
                if self._stopping:
                    break
        if not task.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return task.result()

    def _is_run_within(self) -> bool:
        """Is this a call of one of its own callbacks, and may it run the loop?"""
        return self._thread_id == threading.get_ident() and is_applied()

    def _run_forever_within(self) -> None:
        with no_task_running(self):
            while True:
                self._run_once()
                if self._stopping:
                    break
        self._stopping = False


@contextmanager
def beside_a_running_loop() -> Iterator[None]:
    """With nest_asyncio, a loop may also be run by another loop's callback."""
    if not is_applied():
        yield
        return
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)


@contextmanager
def no_task_running(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Other tasks may be run within the current one."""
    outer = leave_current_tasks(loop)
    try:
        yield
    finally:
        enter_current_tasks(loop, outer)

"""Replaces asyncio's loop classes with one of ours in this process, and counts loops.

CPython's tests get a loop in many ways: ``SelectorEventLoop()`` with and
without a selector, ``new_event_loop()``, the default policy, ``run``,
``Runner``, ``IsolatedAsyncioTestCase``, ``BaseEventLoop()`` with a mock
selector, and ``new_test_loop()`` of their own utilities.  All of them are made
to use one class, before any test module is imported.  Runs are counted in
``run_forever``, which every loop calls, so that tests that still use another
loop are detected.
"""

from __future__ import annotations

import asyncio
import selectors
from asyncio import base_events, unix_events
from types import ModuleType
from typing import TYPE_CHECKING, Any

from loops import factory_of

if TYPE_CHECKING:
    from unittest import TestCase


class Seen:
    """How many of our loops were created or run, and how many others were run."""

    def __init__(self) -> None:
        self.ours = 0
        self.others = 0

    def take(self) -> tuple[int, int]:
        taken = self.ours, self.others
        self.ours = self.others = 0
        return taken


def substitute(engine: str) -> Seen:
    """*engine* may be "asyncio" for the same with asyncio's own loops."""
    seen = Seen()
    loop_class = _loop_class(engine, seen)
    for module in (asyncio, unix_events):
        for name in ("SelectorEventLoop", "EventLoop"):
            if hasattr(module, name):
                setattr(module, name, loop_class)
    if engine != "asyncio":
        # Tests create one and mock its kernel side.  Ours keeps the real one.
        asyncio.BaseEventLoop = loop_class  # type: ignore[misc]
    unix_events._UnixDefaultEventLoopPolicy._loop_factory = loop_class  # type: ignore[attr-defined]
    _replace_new_test_loop(loop_class)
    _watch_runs(loop_class, seen)
    return seen


def substitute_in(module: ModuleType) -> None:
    """Substitute in a test module that uses asyncio's private base_events."""
    if module.__name__.endswith(".test_base_events"):
        instead = ModuleType("base_events")
        vars(instead).update(vars(base_events), BaseEventLoop=asyncio.BaseEventLoop)
        module.base_events = instead  # type: ignore[attr-defined]


def _loop_class(engine: str, seen: Seen) -> Any:
    base: Any = factory_of(engine)

    class SubstitutedEventLoop(base):  # type: ignore[misc]
        """Accepts a test's selector, but does not use it."""

        def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
            seen.ours += 1
            if selector is not None:
                selector.close()
            super().__init__()

    return SubstitutedEventLoop


def _replace_new_test_loop(loop_class: Any) -> None:
    from test.test_asyncio import utils

    new_simulation = utils.TestCase.new_test_loop

    def new_test_loop(self: TestCase, gen: Any = None) -> Any:
        if gen is not None:
            # The test controls the clock: a simulation in which nothing waits.
            return new_simulation(self, gen)
        loop = loop_class()
        self.set_event_loop(loop)  # type: ignore[attr-defined]
        return loop

    utils.TestCase.new_test_loop = new_test_loop


def _watch_runs(loop_class: Any, seen: Seen) -> None:
    run_forever = base_events.BaseEventLoop.run_forever

    def watched(self: Any) -> None:
        if isinstance(self, loop_class):
            seen.ours += 1
        else:
            seen.others += 1
        run_forever(self)

    base_events.BaseEventLoop.run_forever = watched  # type: ignore[method-assign]

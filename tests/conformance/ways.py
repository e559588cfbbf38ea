"""The ways in which CPython's tests get a loop: a worker runs these like theirs."""

from __future__ import annotations

import asyncio
import selectors
import sys
import unittest
from asyncio import unix_events
from typing import Any

from test.test_asyncio import utils

from aioadapt.native_loop import NativeLoop

OURS = NativeLoop


async def running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


class Ways(utils.TestCase):  # type: ignore[misc]
    def look_at(self, loop: Any) -> None:
        try:
            assert isinstance(loop, OURS)
            assert loop.run_until_complete(running()) is loop
        finally:
            loop.close()

    def test_the_class(self) -> None:
        self.look_at(asyncio.SelectorEventLoop())

    def test_the_class_with_a_selector(self) -> None:
        self.look_at(asyncio.SelectorEventLoop(selectors.PollSelector()))

    def test_the_class_of_the_platform(self) -> None:
        self.look_at(unix_events.SelectorEventLoop())

    @unittest.skipIf(sys.version_info < (3, 13), "asyncio.EventLoop came with 3.13")
    def test_its_other_name(self) -> None:
        self.look_at(asyncio.EventLoop())  # type: ignore[attr-defined,unused-ignore]

    def test_the_base_class(self) -> None:
        self.look_at(asyncio.BaseEventLoop())

    def test_new_event_loop(self) -> None:
        self.look_at(asyncio.new_event_loop())

    def test_a_default_policy(self) -> None:
        self.look_at(asyncio.DefaultEventLoopPolicy().new_event_loop())

    def test_run(self) -> None:
        assert isinstance(asyncio.run(running()), OURS)

    def test_a_runner(self) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            assert isinstance(runner.get_loop(), OURS)
            runner.run(running())

    def test_a_test_loop(self) -> None:
        self.look_at(self.new_test_loop())


class Isolated(unittest.IsolatedAsyncioTestCase):
    async def test_an_isolated_test(self) -> None:
        assert isinstance(asyncio.get_running_loop(), OURS)

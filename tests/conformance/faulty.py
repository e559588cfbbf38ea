"""Tests that fail in every possible way: a worker runs these like CPython's."""

from __future__ import annotations

import asyncio
import os
import unittest
from asyncio.base_events import BaseEventLoop
from unittest import mock


class Faulty(unittest.TestCase):
    def test_a_passes(self) -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    def test_b_fails(self) -> None:
        self.fail("as it is to")

    def test_c_fails_in_a_subtest(self) -> None:
        with self.subTest(number=1):
            self.fail("as it is to")

    @unittest.skip("as it is to be")
    def test_d_is_skipped(self) -> None:
        pass

    def test_e_ends_the_process(self) -> None:
        os._exit(7)

    def test_f_runs_another_loop(self) -> None:
        """Its selector is a mock that reports nothing."""
        loop = BaseEventLoop()
        loop._selector = mock.Mock()  # type: ignore[attr-defined]
        loop._selector.select.return_value = ()  # type: ignore[attr-defined]
        loop._process_events = mock.Mock()  # type: ignore[attr-defined]
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()


class NotSetUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        raise RuntimeError("as it is to")

    def test_never_runs(self) -> None:
        pass

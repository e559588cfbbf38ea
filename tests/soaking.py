"""Shared by the soak tests: loops that end clean, and leak checks between rounds."""

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from memory import Holding

import aioadapt
from aioadapt import LoopThread
from aioadapt._stream.stream import Stream
from aioadapt.migration.connection import Connection
from aioadapt.migration.move import Move

URING = aioadapt.uring_support()
# How many seconds each soak lasts.
SOAK_S = float(os.environ.get("AIOADAPT_SOAK_S", "60"))
ENDS_WITHIN_S = 20.0

# Measured after the warm-up, over 7,000 moves and over 16,000 connections: 10
# objects of a type, 180 blocks, 0.8 MiB.  The counting itself contributes to
# the first two, and the kernel may use some of a ring's 4 MiB of receive
# buffers for the first time.
OBJECTS_MORE_AT_MOST = 50
BLOCKS_MORE_AT_MOST = 1_000
RESIDENT_MORE_AT_MOST_BYTES = 6 << 20


def needs(*engines: str) -> None:
    if "uring" in engines and not URING.available:
        pytest.skip(URING.reason)


@contextmanager
def threads(*engines: str) -> Iterator[list[LoopThread]]:
    """Running loop threads; at the end checks that nothing was reported and the
    kernel holds nothing."""
    reported: list[dict[str, Any]] = []
    with ExitStack() as stack:
        started = [
            stack.enter_context(LoopThread(engine, name=name))
            for engine, name in zip(engines, "ab", strict=False)
        ]
        for thread in started:
            thread.loop.set_exception_handler(lambda _, c: reported.append(c))
        yield started
    assert reported == []
    assert [in_kernel(thread) for thread in started] == [0] * len(started)


def in_kernel(thread: LoopThread) -> int:
    """Operations that the kernel holds for this loop."""
    count: int = thread.loop.stats().in_kernel
    return count


async def come_to_rest(
    threads: list[LoopThread], idle: list[int], protocol: type
) -> None:
    """Wait until no connection is left and the kernel holds what it held at first."""
    gone = {protocol, Stream, Connection, Move}

    def what_is_left() -> dict[str, int]:
        gc.collect()
        left = Counter(type(o).__name__ for o in gc.get_objects() if type(o) in gone)
        for thread, at_rest in zip(threads, idle, strict=True):
            left[f"connections of {thread.name}"] += len(thread.connections)
            left[f"operations of {thread.name}"] += in_kernel(thread) - at_rest
        return {what: count for what, count in left.items() if count}

    left = what_is_left()
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            while left:
                await asyncio.sleep(0.05)
                left = what_is_left()
    except TimeoutError:
        pytest.fail(f"{ENDS_WITHIN_S:g} s after the last connection: {left}")


class Growth:
    """What grew from the end of the warm-up to the end of the last round."""

    def __init__(self) -> None:
        self.rounds = 0
        # Only two are kept, so that keeping them does not count as growth.
        self._warm: Holding | None = None
        self._last: Holding | None = None

    def round_ends(self, *, warming_up: bool) -> None:
        self.rounds += 1
        self._last = Holding.now()
        if warming_up or self._warm is None:
            self._warm = self._last

    def assert_none(self) -> None:
        warm, last = self._warm, self._last
        assert warm is not None
        assert last is not None
        assert last is not warm, "there was nothing but the warm-up"
        assert last.descriptors == warm.descriptors
        changed = sorted(last.of_ours().items() ^ warm.of_ours().items())
        assert not changed, f"so many there are now, or were then: {changed}"
        grown = last.grown_by_more_than(OBJECTS_MORE_AT_MOST, warm)
        assert not grown, f"so many more objects: {grown}"
        assert last.blocks - warm.blocks <= BLOCKS_MORE_AT_MOST
        grown_bytes = last.resident_bytes - warm.resident_bytes
        assert grown_bytes <= RESIDENT_MORE_AT_MOST_BYTES

"""Describes what a test left behind: the one place that knows where to look."""

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aioadapt._testing.inside import found_inside
from aioadapt.native_loop import NativeLoop

THREADS_END_WITHIN_S = 5.0
"""Executors are shut down without waiting, so threads get a moment to end."""


@dataclass(frozen=True)
class Before:
    """What existed when the test began."""

    descriptors: dict[int, str]
    threads: frozenset[threading.Thread]
    origin_depth: int

    @classmethod
    def now(cls) -> "Before":
        return cls(
            _descriptors(),
            frozenset(threading.enumerate()),
            sys.get_coroutine_origin_tracking_depth(),
        )


def leftovers(before: Before) -> list[str]:
    """New descriptors and threads of this process, described."""
    # Unclosed, unreachable objects warn here, and warnings are errors.
    gc.collect()
    found = _new_threads(before) + _new_descriptors(before)
    if sys.get_coroutine_origin_tracking_depth() != before.origin_depth:
        sys.set_coroutine_origin_tracking_depth(before.origin_depth)
        found.append("the origins of coroutines are still tracked")
    return found


_modules = 0
"""The number of modules at the last call."""

_calls = 0

EVERY = 50
"""Tests; each leaves some forty objects in pytest, which stay to the end."""


def what_lives_is_here_to_stay() -> None:
    """Exclude the objects of modules and of pytest from later garbage collections.

    Call it right after a collection, when no object of a test is alive.  A
    collection follows every test and would walk all of them: 30 ms with
    matplotlib and textual, longer than most of the tests take.
    """
    global _modules, _calls
    _calls += 1
    if len(sys.modules) > _modules or _calls % EVERY == 0:
        _modules = len(sys.modules)
        gc.freeze()


@contextmanager
def looking_into_loops() -> Iterator[list[str]]:
    """Collects what loops closed during the block still held.

    It looks just before each loop closes, on the loop's thread.
    """
    found: list[str] = []
    close = NativeLoop.close

    def look_and_close(loop: NativeLoop) -> None:
        if not (loop.is_closed() or loop.is_running() or loop._is_forked_copy()):
            found.extend(f"{loop!r}: {what}" for what in found_inside(loop))
        close(loop)

    NativeLoop.close = look_and_close  # type: ignore[method-assign, assignment]
    try:
        yield found
    finally:
        NativeLoop.close = close  # type: ignore[method-assign]


CLOSED_FIRST = "which were closed before they were unregistered"
"""What :func:`found_inside` says of descriptors that a test closed itself."""

IDLE_S = 0.001
TRIES = 10
ITERATIONS_OF_AN_IDLE_LOOP = 3
"""Begin, wait for the timer, stop; a loop that runs more is busy-looping."""


def busy_with_nothing(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Reports a loop that keeps iterating although it has nothing to do."""
    stats = getattr(loop, "stats", None)
    if stats is None:
        return []

    def iterations_of_a_moment() -> int:
        before = int(stats().iterations)
        loop.call_later(IDLE_S, loop.stop)
        loop.run_forever()
        return int(stats().iterations) - before

    # Work of the test may still be finishing, so try several times: a loop that
    # busy-loops never stops.
    counts = []
    for _ in range(TRIES):
        counts.append(iterations_of_a_moment())
        if counts[-1] <= ITERATIONS_OF_AN_IDLE_LOOP:
            return []
    return [f"{loop!r} ran {counts} iterations with nothing to do"]


def leftovers_of_loop(loop: asyncio.AbstractEventLoop) -> list[str]:
    """What one of our loops still holds after it was closed."""
    found = []
    stats = getattr(loop, "stats", None)
    if stats is not None:
        in_kernel: Any = getattr(stats(), "in_kernel", 0)
        if in_kernel:
            found.append(f"{in_kernel} operations of {loop!r} are still in the kernel")
    streams = getattr(loop, "streams", None)
    if streams is not None:
        found += [f"live stream {stream!r}" for stream in streams()]
    return found


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass  # The descriptor used to list the directory.
    return found


def _new_descriptors(before: Before) -> list[str]:
    return [
        f"descriptor {fd} -> {target}"
        for fd, target in _descriptors().items()
        if fd not in before.descriptors
    ]


def _new_threads(before: Before) -> list[str]:
    deadline = time.monotonic() + THREADS_END_WITHIN_S
    new = [thread for thread in threading.enumerate() if thread not in before.threads]
    for thread in new:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [f"thread {thread.name}" for thread in new if thread.is_alive()]

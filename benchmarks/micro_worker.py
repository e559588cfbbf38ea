"""The small operations of an event loop, each as a short function.

``python -m benchmarks.micro_worker --loop uvloop`` runs them in this process and
prints the CPU time per operation in microseconds: that of the whole process,
other threads included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Coroutine

from benchmarks.lifeline import NOT_INSTALLED
from benchmarks.loops import LoopFactory, NotInstalledError, factory_of

#: Operations in flight at the same time, in the scenarios that batch them.
BATCH = 1000


def nothing() -> None:
    pass


async def nothing_async() -> None:
    pass


async def call_soon_chain(count: int) -> None:
    """Each callback schedules the next: one per iteration of the loop."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = count

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            done.set_result(None)

    loop.call_soon(step)
    await done


async def call_soon_batch(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count // BATCH):
        for _ in range(BATCH):
            loop.call_soon(nothing)
        await asyncio.sleep(0)


async def call_later_fire(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count // BATCH):
        done = loop.create_future()
        for _ in range(BATCH - 1):
            loop.call_later(0.00001, nothing)
        loop.call_later(0.00002, done.set_result, None)
        await done


async def call_later_cancel(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count // BATCH):
        handles = [loop.call_later(60.0, nothing) for _ in range(BATCH)]
        for handle in handles:
            handle.cancel()
        await asyncio.sleep(0)


async def sleep_zero(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def future_wake(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future


async def create_task(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.create_task(nothing_async())


async def gather(count: int) -> None:
    for _ in range(count // BATCH):
        await asyncio.gather(*[nothing_async() for _ in range(BATCH)])


async def threadsafe_ping_pong(count: int) -> None:
    """To a sleeping thread, and back to a sleeping loop."""
    loop = asyncio.get_running_loop()
    balls: queue.SimpleQueue[asyncio.Future[None] | None] = queue.SimpleQueue()

    def play() -> None:
        while (ball := balls.get()) is not None:
            loop.call_soon_threadsafe(ball.set_result, None)

    thread = threading.Thread(target=play)
    thread.start()
    for _ in range(count):
        ball = loop.create_future()
        balls.put(ball)
        await ball
    balls.put(None)
    thread.join()


Run = Callable[[LoopFactory, int], int]


def inside(body: Callable[[int], Coroutine[object, object, None]]) -> Run:
    """The CPU nanoseconds of *body* on a warmed-up loop."""

    def run(factory: LoopFactory, count: int) -> int:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(body(BATCH))
            before = time.process_time_ns()
            runner.run(body(count))
            return time.process_time_ns() - before

    return run


def loop_life(factory: LoopFactory, count: int) -> int:
    """Create a loop, run one coroutine on it, and close it."""
    before = time.process_time_ns()
    for _ in range(count):
        loop = factory()
        loop.run_until_complete(nothing_async())
        loop.close()
    return time.process_time_ns() - before


#: The function, and how many operations take about a fifth of a second.
SCENARIOS: dict[str, tuple[Run, int]] = {
    "call_soon chain": (inside(call_soon_chain), 200_000),
    "call_soon batch": (inside(call_soon_batch), 300_000),
    "call_later fire": (inside(call_later_fire), 100_000),
    "call_later cancel": (inside(call_later_cancel), 150_000),
    "sleep(0)": (inside(sleep_zero), 150_000),
    "future wake": (inside(future_wake), 100_000),
    "create_task": (inside(create_task), 60_000),
    "gather": (inside(gather), 60_000),
    "threadsafe ping-pong": (inside(threadsafe_ping_pong), 10_000),
    "loop life": (loop_life, 1_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro_worker", description=__doc__
    )
    parser.add_argument(
        "--loop", default="asyncio", help="the name of a loop, or module:factory"
    )
    parser.add_argument("--only", action="append", choices=list(SCENARIOS))
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    results: dict[str, float | str] = {}
    try:
        factory = factory_of(options.loop)
        factory().close()
        for name in options.only or SCENARIOS:
            run, count = SCENARIOS[name]
            # Whole batches, so that every scenario runs as many operations as it counts.
            scaled = max(1, round(count * options.scale / BATCH)) * BATCH
            try:
                results[name] = run(factory, scaled) / 1e3 / scaled
            except Exception as error:  # A peer's failure is a result as well.
                results[name] = f"{type(error).__name__}: {error}"
    except NotInstalledError as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_INSTALLED)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()

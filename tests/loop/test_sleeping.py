"""A loop with nothing to do sleeps: no iterations, no CPU time."""

import asyncio
import socket
import threading
import time
from typing import Any

import pytest
from loops import LoopFactory, Run

pytestmark = pytest.mark.ours_only

IDLE_S = 0.3


def test_an_idle_loop_runs_no_iteration_and_takes_no_cpu(
    loop_factory: LoopFactory,
) -> None:
    """Even with a server, connections, a reader and a distant timer."""
    loop: Any = loop_factory()
    ready, stop = threading.Event(), asyncio.Event()
    cpu_s: list[float] = []

    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        clients = [socket.create_connection(address) for _ in range(3)]
        while len(loop.streams()) < 3:
            await asyncio.sleep(0)
        ours, theirs = socket.socketpair()
        loop.add_reader(ours, print)
        timer = loop.call_later(1e6, print)
        for _ in range(5):
            await asyncio.sleep(0.001)
        loop.call_soon(ready.set)
        await stop.wait()
        cpu_s.append(time.thread_time())
        timer.cancel()
        loop.remove_reader(ours)
        for each in (ours, theirs, *clients):
            each.close()
        server.close()
        while loop.streams():
            await asyncio.sleep(0)

    def run() -> None:
        loop.run_until_complete(main())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    clock = time.pthread_getcpuclockid(thread.ident)  # type: ignore[arg-type]
    # Wait until the iteration that set ready is over.
    iterations = -1
    while iterations != loop.stats().iterations or not is_asleep(thread):
        iterations = loop.stats().iterations
        time.sleep(0.01)
    before_s = time.clock_gettime(clock)
    time.sleep(IDLE_S)  # the test is that nothing happens meanwhile
    after_s = time.clock_gettime(clock)
    iterations_after = loop.stats().iterations
    loop.call_soon_threadsafe(stop.set)
    thread.join()

    assert iterations_after == iterations
    assert after_s - before_s < 0.01 * IDLE_S


def is_asleep(thread: threading.Thread) -> bool:
    with open(f"/proc/self/task/{thread.native_id}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def test_a_sleep_takes_two_iterations_not_many(
    loop: asyncio.AbstractEventLoop, run: Run
) -> None:
    async def main() -> int:
        before: int = loop.stats().iterations  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        after: int = loop.stats().iterations  # type: ignore[attr-defined]
        return after - before

    assert run(main()) <= 2

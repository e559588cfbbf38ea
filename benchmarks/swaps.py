"""How soon do live connections change engines, under load, and who notices?

uvicorn on an adaptive loop, here; the load client, in a process of its own, keeps every
connection asking: five thousand requests a second in all or, saturated, each connection
again as soon as it has its response.  The preferred engine changes back and forth, by
request alone.  For each change: how long until the last connection was on the new
engine, for how long connections were served by neither (measured inside the loop), and
what clients saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from dataclasses import asdict, dataclass
from typing import Any

import uvicorn

import aioadapt
from aioadapt.measure.app import app
from aioadapt.measure.processes import LoadClient
from aioadapt.stats import latency_percentile_s

BEFORE_S = 0.5
"""The load has run for so long when the engine changes."""

AFTER_S = 3.0
"""And so long after it began in all."""

WITHIN_S = 30.0
BODY_BYTES = 64
REQUESTS_PER_S = 5_000


@dataclass(frozen=True)
class Change:
    """One change of the preferred engine."""

    to: str
    connections: int
    all_there_s: float
    iterations: int
    pause_p50_s: float
    pause_p99_s: float
    failed: int
    slowest_s: float
    """The longest that a client waited for a response in the run with the change."""

    def __str__(self) -> str:
        return (
            f"{self.connections:6} to {self.to:5}  all there {self.all_there_s * 1e3:7.1f} ms "
            f"in {self.iterations:3} iterations, by neither p50 {self.pause_p50_s * 1e3:.2f}, "
            f"p99 {self.pause_p99_s * 1e3:.2f} ms; failed {self.failed}, "
            f"slowest response {self.slowest_s * 1e3:.0f} ms"
        )


def all_on(engine: str, stats: aioadapt.LoopStats) -> bool:
    return stats.on_uring == (stats.connections if engine == "uring" else 0)


async def change(
    loop: Any, client: LoadClient, connections: int, think_s: float, to: str
) -> Change:
    running = loop.run_in_executor(
        None,
        lambda: client.run(
            connections=connections,
            seconds=AFTER_S,
            think_s=think_s,
            body_bytes=BODY_BYTES,
        ),
    )
    async with asyncio.timeout(WITHIN_S):
        while loop.stats().connections < connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(BEFORE_S)
    before = loop.stats()
    began_s = time.monotonic()
    loop.prefer(to)
    async with asyncio.timeout(WITHIN_S):
        while not all_on(to, now := loop.stats()):  # noqa: ASYNC110
            await asyncio.sleep(0)
    took_s = time.monotonic() - began_s
    pauses = [b - a for a, b in zip(before.swap_pauses, now.swap_pauses, strict=True)]
    seen = await running
    return Change(
        to,
        connections,
        took_s,
        now.iterations - before.iterations,
        latency_percentile_s(pauses, 50),
        latency_percentile_s(pauses, 99),
        sum(seen[fault] for fault in ("failed", "lost", "duplicated", "misrouted")),
        seen["max_s"],
    )


async def changes(
    connections: int, think_s: float, rounds: int, client_core: int
) -> list[Change]:
    loop: Any = asyncio.get_running_loop()
    loop._look_every(None)
    config = uvicorn.Config(
        app,
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    found = []
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        serving = asyncio.ensure_future(server.serve([sock]))
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        port = sock.getsockname()[1]
        with LoadClient(port, [client_core], most=connections) as client:
            for _ in range(rounds):
                for to in ("uring", "epoll"):
                    found.append(await change(loop, client, connections, think_s, to))
                    print(found[-1], flush=True)
        server.should_exit = True
        await serving
    return found


def hold(
    connections: list[int],
    *,
    saturated: bool,
    rounds: int,
    server_core: int,
    client_core: int,
) -> list[dict[str, object]]:
    """Change engines *rounds* times in each direction, for each number."""
    found: list[Change] = []
    os.sched_setaffinity(0, [server_core])
    for number in connections:
        think_s = 0.0 if saturated else number / REQUESTS_PER_S
        with asyncio.Runner(
            loop_factory=lambda: aioadapt.AdaptiveEventLoop(adapting=False)
        ) as runner:
            found += runner.run(changes(number, think_s, rounds, client_core))
    return [asdict(each) for each in found]

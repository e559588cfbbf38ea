"""How soon do live connections change engines, under load, and who notices?

uvicorn on an adaptive loop, here; the load client, in a process of its own, keeps every
connection asking.  The preferred engine changes back and forth.  For each change: how
long until the last connection was on the new engine, for how long connections were
served by neither (measured inside the loop), and what clients saw.
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

WITHIN_S = 30.0
BODY_BYTES = 64


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


async def change(loop: Any, client: LoadClient, connections: int, to: str) -> Change:
    running = loop.run_in_executor(
        None,
        lambda: client.run(
            connections=connections, seconds=2 * BEFORE_S, body_bytes=BODY_BYTES
        ),
    )
    await asyncio.sleep(BEFORE_S)
    before = loop.stats()
    on_ring = connections if to == "uring" else 0
    began_s = time.monotonic()
    loop.prefer(to)
    async with asyncio.timeout(WITHIN_S):
        while (now := loop.stats()).on_uring != on_ring:  # noqa: ASYNC110
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


async def changes(connections: int, rounds: int, client_core: int) -> list[Change]:
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(
        app, http="httptools", lifespan="off", log_level="warning", access_log=False
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
                    found.append(await change(loop, client, connections, to))
                    print(found[-1], flush=True)
        server.should_exit = True
        await serving
    return found


def hold(
    connections: list[int], *, rounds: int, server_core: int, client_core: int
) -> list[dict[str, object]]:
    """Change engines *rounds* times in each direction, for each number."""
    found: list[Change] = []
    os.sched_setaffinity(0, [server_core])
    for number in connections:
        with asyncio.Runner(
            loop_factory=lambda: aioadapt.AdaptiveEventLoop(adapting=False)
        ) as runner:
            found += runner.run(changes(number, rounds, client_core))
    return [asdict(each) for each in found]

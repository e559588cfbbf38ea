"""``python -m benchmarks.follow``: how soon do connections follow a decision?

Two loop threads with a uvicorn each share one listening socket.  The demo's
verifying client, in a process of its own, keeps connections to it.  One
``Migrator.drain`` follows the other, back and forth.  For each drain it reports when
the connections arrived, counted from the call; how long each was read by no loop; and
what the clients noticed.
"""

import asyncio
import contextlib
import gc
import json
import os
import random
import resource
import statistics
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aioadapt
from aioadapt.measure.processes import allow_descriptors
from aioadapt.migration.report import Pauses
from benchmarks import follow_phases
from demo.load import Load
from demo.options import Options
from demo.report import FAULTS
from demo.serve import Side, serving

READY_WITHIN_S = 30.0
LOOK_S = 0.5  # the throughput before a drain is measured over this time


@dataclass
class Passage:
    """One drain and its figures."""

    direction: str
    connections: int
    moved: int
    left: dict[str, int]
    took_s: float
    first_s: float
    half_s: float
    last_s: float
    pause: Pauses
    rate_before: float  # responses per second
    rate_during: float
    busy: float  # CPU of the server process before the drain, in cores
    denied: float  # share of its runnable time in which the drain waited for a core
    collection_s: float  # the longest garbage collection during the drain
    slowest_s: float  # the longest that a client waited for a response around the drain
    phases: dict[str, Pauses] = field(default_factory=dict)


class Clients(Load):
    """The demo's verifying client, without visitors and with GET requests only."""

    def __init__(self, process: asyncio.subprocess.Process, connections: int) -> None:
        super().__init__(process, connections)
        self.answered = asyncio.Event()  # every connection has had a response
        self.slowest_s = 0.0  # since it was last set to 0

    def heard(self, said: dict[str, Any]) -> None:
        super().heard(said)
        self.slowest_s = max(self.slowest_s, said["slowest_since_report_s"])
        if said["answered"] >= self._connections:
            self.answered.set()


@contextlib.asynccontextmanager
async def clients_of(
    address: tuple[str, int], count: int, names: list[str]
) -> AsyncIterator[Clients]:
    clients = await Clients.start(
        address, Options(connections=count), names,
        "--visitors", "0", "--gets", "--report-every-s", "0.1",
    )  # fmt: skip
    try:
        answered = asyncio.create_task(clients.answered.wait())
        await asyncio.wait(
            {answered, clients.ended},
            timeout=READY_WITHIN_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        answered.cancel()
        if clients.ended.done():
            clients.ended.result()
        if not clients.answered.is_set():
            raise RuntimeError(
                f"not every client had a response within {READY_WITHIN_S:g} s: "
                f"{clients.standing}"
            )
        yield clients
    finally:
        await clients.kill()


def denied() -> tuple[float, float]:
    """Seconds on a core, and seconds waiting for one, of all threads of this process.

    If the second is large, other work on the machine, the clients included, had the
    cores, and the figures say more about that than about us.
    """
    ran_ns = waited_ns = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has just ended
            ran, waited, _ = map(int, path.read_text().split())
            ran_ns += ran
            waited_ns += waited
    return ran_ns / 1e9, waited_ns / 1e9


@contextlib.contextmanager
def collections_watched() -> Iterator[list[float]]:
    """How long each garbage collection took; it stops every thread."""
    took_s: list[float] = [0.0]
    began_s = 0.0

    def collects(phase: str, info: dict[str, int]) -> None:
        nonlocal began_s
        if phase == "start":
            began_s = time.monotonic()
        else:
            took_s.append(time.monotonic() - began_s)

    gc.callbacks.append(collects)
    try:
        yield took_s
    finally:
        gc.callbacks.remove(collects)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Meter:
    """Responses and CPU since the last look."""

    def __init__(self, sides: list[Side]) -> None:
        self._sides = sides
        self.look()

    def look(self) -> tuple[float, float]:
        """Responses per second, and CPU in cores."""
        now = time.monotonic(), self._answers(), cpu_s()
        before = getattr(self, "_before", now)
        self._before = now
        seconds = (now[0] - before[0]) or 1e-9
        return (now[1] - before[1]) / seconds, (now[2] - before[2]) / seconds

    def _answers(self) -> int:
        return sum(side.thread.loop.stats().requests for side in self._sides)


async def drain(
    migrator: aioadapt.Migrator,
    source: Side,
    target: Side,
    meter: Meter,
    clients: Clients,
    asked: Namespace,
) -> Passage:
    meter.look()
    await asyncio.sleep(LOOK_S + random.random() * 0.1)
    rate_before, busy = meter.look()
    connections = len(source.thread.connections)
    clients.slowest_s = 0.0
    with (
        follow_phases.watched(asked.phases) as phases,
        collections_watched() as collections_s,
    ):
        before = denied()
        asked_at_s = time.monotonic()
        report = await migrator.drain(
            source.thread, to=target.thread, timeout_s=asked.timeout_s
        )
        took_s = time.monotonic() - asked_at_s
        ran_s, waited_s = (b - a for a, b in zip(before, denied(), strict=True))
    rate_during, _ = meter.look()
    await asyncio.sleep(0.25)
    arrivals = sorted(report.arrivals_s) or [0.0]
    return Passage(
        direction=f"{source.name}>{target.name}",
        connections=connections,
        moved=report.moved,
        left=dict(report.left),
        took_s=took_s,
        first_s=arrivals[0],
        half_s=arrivals[len(arrivals) // 2],
        last_s=arrivals[-1],
        pause=report.pause_s,
        rate_before=rate_before,
        rate_during=rate_during,
        busy=busy,
        denied=waited_s / ((ran_s + waited_s) or 1.0),
        collection_s=max(collections_s),
        slowest_s=clients.slowest_s,
        phases=phases,
    )


async def halve(clients: Clients, meter: Meter, connections: int) -> None:
    """Find the think time at which the server uses half a core."""
    meter.look()
    await asyncio.sleep(1.0)
    rate, cores = meter.look()
    for _ in range(3):
        rate *= 0.5 / cores
        clients.command(think_s=connections / rate)
        await asyncio.sleep(0.2)
        meter.look()
        await asyncio.sleep(1.0)
        rate, cores = meter.look()


async def follow(asked: Namespace) -> tuple[list[Passage], dict[str, Any]]:
    if asked.switch_interval_ms:
        sys.setswitchinterval(asked.switch_interval_ms / 1000)
    engines = asked.engines.split(",")
    names = [
        f"{name}{i}" if len(set(engines)) == 1 else name
        for i, name in enumerate(engines)
    ]
    migrator = aioadapt.Migrator(max_in_flight=asked.max_in_flight)
    with aioadapt.LoopThread(engines[0]) as a, aioadapt.LoopThread(engines[1]) as b:
        sides = [Side(names[0], a), Side(names[1], b)]
        async with (
            serving(sides) as address,
            clients_of(address, asked.connections, names) as clients,
        ):
            meter = Meter(sides)
            # Start with all of them on the first side, whichever accepted them.
            await migrator.drain(b, to=a, timeout_s=30)
            if asked.load == "half" and asked.think_ms is None:
                await halve(clients, meter, asked.connections)
            elif asked.think_ms:
                clients.command(think_s=asked.think_ms / 1000)
                await asyncio.sleep(0.2 + asked.think_ms / 1000)
            passages = []
            for i in range(asked.drains):
                source, target = sides[i % 2], sides[1 - i % 2]
                passages.append(
                    await drain(migrator, source, target, meter, clients, asked)
                )
                if not asked.json:
                    print(line_of(passages[-1]), flush=True)
                # Move what stayed behind, so that every drain starts with all.
                await migrator.drain(source.thread, to=target.thread, timeout_s=30)
            outcome = await clients.stop()
    return passages, outcome


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds < 0.1 else f"{seconds * 1000:.0f}"


HEAD = (
    f"{'direction':12} {'moved':>10} {'first':>6} {'half':>6} {'last':>6} |"
    f" {'p50':>6} {'p99':>6} {'max':>6} | {'before/s':>8} {'during/s':>8} {'cores':>5}"
    f" {'denied':>6} {'gc':>5}"
    f" {'slowest':>7}   (ms)"
)


def line_of(p: Passage) -> str:
    line = (
        f"{p.direction:12} {p.moved:>5}/{p.connections:<4} {ms(p.first_s):>6} "
        f"{ms(p.half_s):>6} {ms(p.last_s):>6} | {ms(p.pause.p50):>6} {ms(p.pause.p99):>6} "
        f"{ms(p.pause.max):>6} | {p.rate_before:8.0f} {p.rate_during:8.0f} {p.busy:5.2f} "
        f"{p.denied:6.0%} "
        f"{ms(p.collection_s):>5} "
        f"{ms(p.slowest_s):>7}   {p.left or ''}"
    )
    for name, spread in p.phases.items():
        figures = (f"{k} {ms(v):>6}" for k, v in spread._asdict().items())
        line += f"\n    {name:40} {'  '.join(figures)}"
    return line


def median_of(passages: list[Passage]) -> dict[str, float]:
    def median(of: Callable[[Passage], float]) -> float:
        return statistics.median(of(p) for p in passages)

    return {
        "moved_share": min(p.moved / (p.connections or 1) for p in passages),
        "first_s": median(lambda p: p.first_s),
        "half_s": median(lambda p: p.half_s),
        "last_s": median(lambda p: p.last_s),
        "last_s_worst": max(p.last_s for p in passages),
        "pause_p50_s": median(lambda p: p.pause.p50),
        "pause_p99_s": median(lambda p: p.pause.p99),
        "pause_p99_s_worst": max(p.pause.p99 for p in passages),
        "pause_max_s": max(p.pause.max for p in passages),
        "rate_before": median(lambda p: p.rate_before),
        "rate_during": median(lambda p: p.rate_during),
        "busy_cores": median(lambda p: p.busy),
        "denied": median(lambda p: p.denied),
        "collection_s": median(lambda p: p.collection_s),
        "slowest_s": median(lambda p: p.slowest_s),
    }


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument(
        "--drains", type=int, default=10, help="number of drains, back and forth"
    )
    parser.add_argument(
        "--load", choices=["full", "half"], default="full",
        help="full: no think time; half: a think time with which the server uses half a core",
    )  # fmt: skip
    parser.add_argument(
        "--think-ms", type=float, help="mean think time; overrides --load"
    )
    parser.add_argument("--timeout-s", type=float, default=5.0)
    parser.add_argument("--max-in-flight", type=int, help="Migrator(max_in_flight=...)")
    parser.add_argument(
        "--switch-interval-ms", type=float, help="sys.setswitchinterval()"
    )
    parser.add_argument("--engines", default="epoll,uring")
    parser.add_argument(
        "--phases", action="store_true", help="show the stages of each pause"
    )
    parser.add_argument("--json", action="store_true")


def run(asked: Namespace) -> int:
    allow_descriptors(asked.connections + 256)
    if not asked.json:
        print(HEAD)
    passages, outcome = asyncio.run(follow(asked))
    by_direction = {
        direction: median_of([p for p in passages if p.direction == direction])
        for direction in sorted({p.direction for p in passages})
    }
    if asked.json:
        print(json.dumps({
            "asked": vars(asked) | {"switch_interval_s": sys.getswitchinterval()},
            "cores": os.cpu_count(),
            "medians": by_direction, "clients": outcome,
            "drains": [asdict(p) for p in passages],
        }))  # fmt: skip
    else:
        for direction, median in by_direction.items():
            print(
                f"median {direction}: "
                + ", ".join(f"{k} {v:.4g}" for k, v in median.items())
            )
        print(f"clients: {outcome}")
    return int(any(outcome[fault] for fault in FAULTS))


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m benchmarks.follow", description=__doc__)
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))

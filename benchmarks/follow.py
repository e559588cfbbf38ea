"""``python -m benchmarks.follow``: how soon do connections follow a decision?

Two loop threads with a uvicorn on each, over one listening socket; a crowd of
keep-alive connections in a process of its own; and one ``Migrator.drain`` after
the other, to and fro.  For each drain: when the connections arrived, counted
from the call; how long nobody read from each; what the crowd noticed.
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
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aioadapt
from aioadapt.migration.report import Pauses
from benchmarks import follow_phases
from benchmarks.follow_client import allow_descriptors
from demo.serve import Side, serving

READY_WITHIN_S = 30.0
LOOK_S = 0.5  # the throughput before a drain is that of so long


@dataclass
class Passage:
    """One drain and what it was like."""

    direction: str
    connections: int
    moved: int
    left: dict[str, int]
    took_s: float
    first_s: float
    half_s: float
    last_s: float
    pause: Pauses
    rate_before: float  # answers a second
    rate_during: float
    busy: float  # CPU of the server process in the time before, in cores
    denied: float  # part of its running time in which the drain had no core to run on
    collection_s: float  # the interpreter's longest garbage collection meanwhile
    slowest_s: float  # what the crowd waited longest for, around the drain
    phases: dict[str, Pauses] = field(default_factory=dict)


class CrowdProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.standing: dict[str, Any] = {}
        self.slowest_s = 0.0
        self.changed = asyncio.Condition()
        self.listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.standing = json.loads(line)
            self.slowest_s = max(self.slowest_s, self.standing["slowest_s"])
            async with self.changed:
                self.changed.notify_all()

    async def until(self, what: str) -> None:
        async with asyncio.timeout(READY_WITHIN_S), self.changed:
            await self.changed.wait_for(
                lambda: self.standing.get(what) or self.listener.done()
            )
        if not self.standing.get(what):
            raise RuntimeError(f"the crowd ended: {self.standing}")

    def think(self, seconds: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"%f\n" % seconds)

    async def settle(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.until("settled")
        await self.process.wait()
        await self.listener
        return self.standing


@contextlib.asynccontextmanager
async def crowd(
    address: tuple[str, int], count: int, names: list[str]
) -> AsyncIterator[CrowdProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.follow_client", *map(str, address), str(count),
        "--engines", ",".join(names), stdin=PIPE, stdout=PIPE,
    )  # fmt: skip
    found = CrowdProcess(process)
    try:
        await found.until("ready")
        yield found
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        found.listener.cancel()


def denied() -> tuple[float, float]:
    """Of all threads of this process: on a core, and waiting for one; seconds.

    The machine's other work, the crowd included, takes it: where the second
    is large, the figures are the machine's and not ours.
    """
    ran_ns = waited_ns = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            ran, waited, _ = map(int, path.read_text().split())
            ran_ns += ran
            waited_ns += waited
    return ran_ns / 1e9, waited_ns / 1e9


@contextlib.contextmanager
def collections_watched() -> Iterator[list[float]]:
    """How long each garbage collection took: it stops every thread."""
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
    """Answers and CPU since the last look."""

    def __init__(self, sides: list[Side]) -> None:
        self._sides = sides
        self.look()

    def look(self) -> tuple[float, float]:
        """Answers a second, and CPU in cores."""
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
    people: CrowdProcess,
    asked: Namespace,
) -> Passage:
    meter.look()
    await asyncio.sleep(LOOK_S + random.random() * 0.1)
    rate_before, busy = meter.look()
    connections = len(source.thread.connections)
    people.slowest_s = 0.0
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
        slowest_s=people.slowest_s,
        phases=phases,
    )


async def halve(people: CrowdProcess, meter: Meter, connections: int) -> None:
    """Find the think time with which the server uses half a core."""
    meter.look()
    await asyncio.sleep(1.0)
    rate, cores = meter.look()
    for _ in range(3):
        rate *= 0.5 / cores
        people.think(connections / rate)
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
    migrator = aioadapt.Migrator(
        **({"at_once": asked.at_once} if asked.at_once else {})
    )
    with aioadapt.LoopThread(engines[0]) as a, aioadapt.LoopThread(engines[1]) as b:
        sides = [Side(names[0], a), Side(names[1], b)]
        async with (
            serving(sides) as address,
            crowd(address, asked.connections, names) as people,
        ):
            meter = Meter(sides)
            # Whoever accepted them, they are all on the first side now.
            await migrator.drain(b, to=a, timeout_s=30)
            if asked.load == "half" and asked.think_ms is None:
                await halve(people, meter, asked.connections)
            elif asked.think_ms:
                people.think(asked.think_ms / 1000)
                await asyncio.sleep(0.2 + asked.think_ms / 1000)
            passages = []
            for i in range(asked.drains):
                source, target = sides[i % 2], sides[1 - i % 2]
                passages.append(
                    await drain(migrator, source, target, meter, people, asked)
                )
                if not asked.json:
                    print(line_of(passages[-1]), flush=True)
                # What stayed behind follows, so that each starts with all.
                await migrator.drain(source.thread, to=target.thread, timeout_s=30)
            outcome = await people.settle()
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
    parser.add_argument("--drains", type=int, default=10, help="to and fro")
    parser.add_argument(
        "--load", choices=["full", "half"], default="full",
        help="full: each asks again at once; half: with a think time that halves the rate",
    )  # fmt: skip
    parser.add_argument(
        "--think-ms", type=float, help="mean think time, instead of --load"
    )
    parser.add_argument("--timeout-s", type=float, default=5.0)
    parser.add_argument("--at-once", type=int, help="Migrator(max_in_flight=...)")
    parser.add_argument("--switch-interval-ms", type=float, help="of the whole process")
    parser.add_argument("--engines", default="epoll,uring")
    parser.add_argument("--phases", action="store_true", help="where each pause goes")
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
            "medians": by_direction, "crowd": outcome,
            "drains": [asdict(p) for p in passages],
        }))  # fmt: skip
    else:
        for direction, median in by_direction.items():
            print(
                f"median {direction}: "
                + ", ".join(f"{k} {v:.4g}" for k, v in median.items())
            )
        print(f"crowd: {outcome}")
    return int(bool(outcome["wrong"] or outcome["lost"] or outcome["silent"]))


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m benchmarks.follow", description=__doc__)
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))

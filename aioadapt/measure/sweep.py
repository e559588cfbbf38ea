"""Measures both engines side by side, by number of connections and response size."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Self

from .processes import STARTS_WITHIN_S, Child, LoadClient
from .usage import Cores, ExperimentError, usage_at_rest

ENGINES = ("epoll", "uring")
FAULTS = ("failed", "lost", "duplicated", "misrouted")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.  *cells* are pairs: connections, bytes of a response."""

    cells: tuple[tuple[int, int], ...]
    rounds: int
    seconds: float
    warmup_s: float

    @property
    def about_s(self) -> float:
        each = self.seconds + self.warmup_s + 0.05
        return self.rounds * (2.0 + len(ENGINES) * len(self.cells) * each)


SMALL_BYTES = 128
# Small responses at every number of connections, since for these the number is
# what decides; large ones only where the engines may differ at all.  Five rounds,
# so that one bad round moves neither the median nor a quartile.
FULL = Plan(
    cells=(
        *((n, SMALL_BYTES) for n in (1, 8, 32, 64, 128, 256, 512, 1024)),
        *((n, size) for size in (2048, 8192, 65_536) for n in (8, 64, 256, 1024)),
    ),
    rounds=5,
    seconds=0.5,
    warmup_s=0.15,
)
QUICK = Plan(
    cells=(
        *((n, SMALL_BYTES) for n in (1, 16, 64, 256, 1024)),
        *((n, size) for size in (8192, 65_536) for n in (64, 1024)),
    ),
    rounds=3,
    seconds=0.35,
    warmup_s=0.1,
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One engine in one round at one load."""

    round: int
    engine: str
    connections: int
    body_bytes: int
    requests: int
    seconds: float
    cpu_us: float  # the server's, per request
    p50_s: float
    p99_s: float
    waited_share: float  # of the time: the server was ready but something else ran

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "requests_per_s": self.requests_per_s}


class PlainServer(Child):
    """uvicorn on one loop thread."""

    def __init__(self, engine: str, cores: Cores) -> None:
        super().__init__(
            ["aioadapt.measure.plain_server", "--engine", engine], cores.server
        )


def sweep(plan: Plan, show: Callable[[str], None] = lambda _: None) -> Iterator[Cell]:
    """Measure, and yield each cell as soon as it is known.

    Every round starts new processes, because the layout of their heaps is part
    of what differs from run to run.  Which engine goes first alternates.

    Raises:
        ExperimentError: a response was wrong, or a process died; without io_uring
            its server dies.
    """
    cores = Cores.of_this_machine()
    for number in range(plan.rounds):
        show(f"round {number + 1} of {plan.rounds}")
        order = ENGINES if number % 2 == 0 else ENGINES[::-1]
        with ExitStack() as stack:
            pairs = []
            most = max(connections for connections, _ in plan.cells)
            for engine in order:
                server = stack.enter_context(PlainServer(engine, cores))
                port = server.hear(STARTS_WITHIN_S)["port"]
                client = LoadClient(port, cores.client, most=most)
                pairs.append((engine, server, stack.enter_context(client)))
            for connections, size in plan.cells:
                for engine, server, client in pairs:
                    yield _measure(
                        plan, number, engine, server, client, connections, size
                    )


def _measure(
    plan: Plan,
    number: int,
    engine: str,
    server: Child,
    client: LoadClient,
    connections: int,
    size: int,
) -> Cell:
    load = {"connections": connections, "body_bytes": size}
    client.run(seconds=plan.warmup_s, **load)
    before = usage_at_rest(server.pid)
    said = client.run(seconds=plan.seconds, **load)
    used = usage_at_rest(server.pid) - before
    wrong = {fault: said[fault] for fault in FAULTS if said[fault]}
    if wrong or not said["requests"]:
        raise ExperimentError(
            f"{engine} with {connections} connections and responses of {size} bytes: "
            f"{said['requests']} of {said['asked']} requests were answered correctly; "
            f"{wrong}"
        )
    return Cell(
        number,
        engine,
        connections,
        size,
        said["requests"],
        said["seconds"],
        used.cpu_ns / 1e3 / said["requests"],
        said["p50_s"],
        said["p99_s"],
        used.waited_ns / 1e9 / said["seconds"],
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """io_uring compared with epoll at one load, over all rounds."""

    connections: int
    body_bytes: int
    epoll_us: float  # medians of the server's CPU per request
    uring_us: float
    epoll_per_s: float
    uring_per_s: float
    gain: float  # how much less CPU io_uring took; median of the rounds
    low: float  # the lower and upper quartiles of the gain
    high: float

    @property
    def verdict(self) -> str:
        """ "uring" or "epoll" if one is cheaper by more than the spread, else "tie"."""
        if self.low > 0 and self.gain >= WORTHWHILE:
            return "uring"
        if self.high < 0 and self.gain <= -WORTHWHILE:
            return "epoll"
        return "tie"

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> Self:
        """Compare the cells at one load, each round's two with each other.

        The machine itself is faster in some minutes than in others.
        """
        by = {(cell.round, cell.engine): cell for cell in cells}
        rounds = sorted({cell.round for cell in cells})
        gains = [
            1 - by[number, "uring"].cpu_us / by[number, "epoll"].cpu_us
            for number in rounds
        ]
        low, high = quartiles(gains)

        def median(engine: str, of: str) -> float:
            figures: list[float] = [getattr(by[n, engine], of) for n in rounds]
            return statistics.median(figures)

        return cls(
            cells[0].connections,
            cells[0].body_bytes,
            median("epoll", "cpu_us"),
            median("uring", "cpu_us"),
            median("epoll", "requests_per_s"),
            median("uring", "requests_per_s"),
            statistics.median(gains),
            low,
            high,
        )


#: A smaller gain is not worth a switch: a server's load varies by more.  A guess.
WORTHWHILE = 0.02


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def disturbance(cells: Sequence[Cell]) -> str:
    """A warning if something else used the server's core, else empty."""
    share = statistics.median(cell.waited_share for cell in cells)
    if share < DISTURBED_SHARE:
        return ""
    return (
        f"something else used the server's core for {share:.0%} of the time: measure "
        f"again when this machine is otherwise idle"
    )


#: On an idle machine it is well below 1 %; a guess.
DISTURBED_SHARE = 0.05


def compare(cells: Sequence[Cell]) -> list[Comparison]:
    loads = dict.fromkeys((cell.body_bytes, cell.connections) for cell in cells)
    return [
        Comparison.of(
            [c for c in cells if (c.body_bytes, c.connections) == (size, connections)]
        )
        for size, connections in sorted(loads)
    ]

"""A snapshot of a server: what it did between two of its states, as text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aioadapt.stats import latency_percentile_s

from .. import recent

COLUMNS = (
    "engine",
    "connections",
    "requests/s",
    "p50",
    "p99",
    "busy",
    "moves in",
    "moves out",
)

SHOWN = 5
"""How many decisions and how many switches are shown."""


@dataclass(frozen=True, slots=True)
class Row:
    """One engine; rates, latencies and shares cover the time between the two states."""

    engine: str
    active: bool
    connections: int
    requests_per_s: float
    p50_s: float
    p99_s: float
    busy_share: float
    moves_in: int
    moves_out: int

    def cells(self) -> tuple[str, ...]:
        """The text of each column in :data:`COLUMNS`."""
        answered = self.p99_s > 0
        return (
            f"{self.engine} *" if self.active else self.engine,
            f"{self.connections:,}",
            f"{self.requests_per_s:,.0f}",
            recent.duration(self.p50_s) if answered else "-",
            recent.duration(self.p99_s) if answered else "-",
            f"{self.busy_share:.0%}",
            f"{self.moves_in:,}",
            f"{self.moves_out:,}",
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """The snapshot, as lines and rows of text."""

    head: tuple[str, ...]
    rows: tuple[Row, ...]
    moves: tuple[str, ...]
    decisions: tuple[str, ...]
    switches: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """All of it as plain text."""
        yield from self.head
        yield ""
        yield from _table([COLUMNS, *(row.cells() for row in self.rows)])
        yield "* accepts new connections"
        yield ""
        yield from self.below()

    def below(self) -> Iterator[str]:
        """The lines below the table."""
        yield from self.moves
        for title, entries in (
            ("latest decisions", self.decisions),
            ("latest switches", self.switches),
        ):
            yield ""
            yield title
            yield from (f"  {entry}" for entry in entries or ["none yet"])


def picture(before: dict[str, Any], after: dict[str, Any]) -> Picture:
    """The snapshot between two states of one server, as read from its admin address."""
    seconds = max(after["clock_s"] - before["clock_s"], 1e-9)
    earlier = {engine["engine"]: engine["stats"] for engine in before["engines"]}
    return Picture(
        head=tuple(_head(after)),
        rows=tuple(
            _row(engine, earlier.get(engine["engine"]), seconds)
            for engine in after["engines"]
        ),
        moves=tuple(_moves(after)),
        decisions=tuple(map(recent.decision_line, after["decisions"][-SHOWN:])),
        switches=tuple(map(recent.switch_line, after["switches"][-SHOWN:])),
    )


def _row(engine: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> Row:
    now = engine["stats"]
    if before is None or before["iterations"] > now["iterations"]:
        # The loop is new since then and started counting at zero.
        before = {}

    def grown(name: str) -> Any:
        return now[name] - before.get(name, 0)

    earlier = before.get("latencies", [0] * len(now["latencies"]))
    latencies = [b - a for a, b in zip(earlier, now["latencies"], strict=True)]
    return Row(
        engine=engine["engine"],
        active=engine["active"],
        connections=now["connections"],
        requests_per_s=grown("requests") / seconds,
        p50_s=latency_percentile_s(latencies, 50),
        p99_s=latency_percentile_s(latencies, 99),
        busy_share=min(1.0, grown("busy_s") / seconds),
        moves_in=now["moves_in"],
        moves_out=now["moves_out"],
    )


def _head(state: dict[str, Any]) -> Iterator[str]:
    up = timedelta(seconds=int(state["now"] - state["started_at"]))
    where = ", ".join(state["addresses"])
    yield f"{state['app']}, pid {state['pid']}, {where}, up {up}, {state['python']}"
    adapting = (
        "adapting to the load" if state["adapting"] else "not adapting to the load"
    )
    migrating = (
        "live connections move" if state["migrating"] else "live connections stay"
    )
    start = state["start"]
    yield f"{adapting}, {migrating}; started on {start['engine']}: {start['reason']}"


def _moves(state: dict[str, Any]) -> Iterator[str]:
    stats = state["migrator"]
    moved = ", ".join(f"{way} {count:,}" for way, count in stats["moves"].items())
    pauses = stats["pauses"]
    line = f"moves    {moved or 'none'}"
    if sum(pauses):
        p50, p99 = (
            recent.duration(latency_percentile_s(pauses, percent))
            for percent in (50, 99)
        )
        line += f"; pauses p50 {p50} p99 {p99}"
    yield line
    if stats["left"]:
        yield f"stayed   {recent.counts(stats['left'])}"
    for engine in state["engines"]:
        counted = {
            name: engine["stats"][name]
            for name in ("enobufs", "cq_overflows", "errors")
            if engine["stats"][name]
        }
        if counted:
            yield f"problems {engine['engine']}: {recent.counts(counted)}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first column is left-aligned, the numbers are right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(others, widths[1:], strict=True)]
        yield "  ".join(cells)

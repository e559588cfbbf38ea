"""The demo's result: one JSON object, or lines of text."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .judge import Fault

FAULTS = tuple(fault.name.lower() for fault in Fault)
RUNS_SHOWN = 5


@dataclass(slots=True)
class Record:
    """The results of the moves so far."""

    moves: dict[str, int]  # "epoll>uring": how many
    returned: int = 0
    left: Counter[str] = field(default_factory=Counter)
    pauses_s: list[float] = field(default_factory=list)
    last_pauses_s: Sequence[float] = ()  # of the latest drain only
    drains: int = 0
    # To switch the engine.
    decisions: list[dict[str, Any]] = field(default_factory=list)
    deciding: str = ""  # the controller's latest decision, and its reason

    def add(
        self,
        direction: str,
        *,
        moved: int,
        returned: int,
        left: Mapping[str, int],
        pauses_s: Sequence[float],
    ) -> None:
        self.moves[direction] += moved
        self.returned += returned
        self.left.update(left)
        self.pauses_s.extend(pauses_s)
        self.last_pauses_s = pauses_s
        self.drains += 1


def percentile(values: Sequence[float], per_cent: float) -> float:
    """By nearest rank, so it is one of *values*; 0 if there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = -(-len(ordered) * per_cent // 100)
    return ordered[max(0, int(rank) - 1)]


@dataclass(frozen=True, slots=True)
class Report:
    engines: Sequence[str]
    connections: int
    seconds: float
    interrupted: bool
    record: Record
    client: dict[str, Any]  # the client's outcome

    @property
    def ok(self) -> bool:
        """There were no faults, and connections moved in both directions.

        An interrupted demo need not have moved any.
        """
        tried = self.interrupted or all(self.record.moves.values())
        return tried and not any(self.client[fault] for fault in FAULTS)

    def as_json(self) -> dict[str, Any]:
        pauses = self.record.pauses_s
        return {
            "requests": self.client["requests"],
            **{fault: self.client[fault] for fault in FAULTS},
            "moves": self.record.moves,
            "returned": self.record.returned,
            "left": dict(self.record.left),
            "pause_us": {
                "p50": _us(percentile(pauses, 50)),
                "p99": _us(percentile(pauses, 99)),
                "max": _us(max(pauses, default=0.0)),
            },
            "decisions": self.record.decisions,
            "connections": self.connections,
            "connections_opened": self.client["opened"],
            "seconds": round(self.seconds, 3),
            "engines": list(self.engines),
            "requests_by_engine": self.client["requests_by_engine"],
            "moves_seen_by_clients": self.client["changes"],
            "slowest_batch_ms": self.client["slowest_ms"],
            "client_cpu_us_per_request": round(
                1e6 * self.client["cpu_seconds"] / max(1, self.client["requests"]), 1
            ),
            "interrupted": self.interrupted,
            "fault_examples": self.client["fault_examples"],
            "proof": self.client["proof"],
        }

    def lines(self) -> list[str]:
        facts = self.as_json()
        pause = facts["pause_us"]
        ended = "interrupted" if self.interrupted else "complete"
        opened = facts["connections_opened"]
        left = ", ".join(
            f"{count:,} ({reason})" for reason, count in facts["left"].items()
        )
        rows = [
            (
                "ran",
                f"{self.seconds:.1f} s, {ended}",
            ),
            (
                "connections",
                f"up to {self.connections:,} at a time, {opened:,} in total",
            ),
            (
                "requests",
                f"{facts['requests']:,}: {_counts(facts['requests_by_engine'])}",
            ),
            ("faults", ", ".join(f"{facts[fault]:,} {fault}" for fault in FAULTS)),
            (
                "moves",
                f"{_counts(facts['moves'])};"
                f" {facts['returned']:,} returned; not moved: {left or '0'}",
            ),
            (
                "pause",
                f"p50 {pause['p50'] / 1e3:.2f} ms, p99 {pause['p99'] / 1e3:.2f} ms,"
                f" max {pause['max'] / 1e3:.2f} ms",
            ),
        ]
        title = (
            f"aioadapt demo on CPython {platform.python_version()},"
            f" Linux {platform.release()}"
        )
        return [
            title,
            *(f"  {name:<12} {text}" for name, text in rows),
            *(f"  {'decision':<12} {in_words(x)}" for x in facts["decisions"]),
            *self._proof_lines(),
            *(f"  ! {example}" for example in facts["fault_examples"]),
        ]

    def _proof_lines(self) -> list[str]:
        proof = self.client["proof"]
        if proof is None or len(proof["runs"]) < 2:
            return []
        runs = proof["runs"]
        nexts = [first for _, first in runs[1:]] + [proof["answers"]]
        shown = [
            f"    requests {first:>7,} to {end - 1:>7,} served by {engine}"
            for (engine, first), end in zip(runs[:RUNS_SHOWN], nexts, strict=False)
        ]
        if len(runs) > RUNS_SHOWN:
            shown.append(f"    and so on, at least {len(runs) - 1} moves")
        return [
            f"  proof        connection {proof['connection']}, one TCP connection:",
            *shown,
        ]


def in_words(decision: Mapping[str, Any]) -> str:
    return (
        f"at {decision['at_s']:.1f} s {decision['from']} > {decision['to']}:"
        f" {decision['reason']}"
    )


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())

"""From rounds to figures: the median, the spread, the ratio to one peer."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.loops import version_of

#: Above this share of a window spent waiting for its core, a round says more
#: about the machine's other work than about the server.  Chosen by looking:
#: undisturbed rounds stay below 1 %, disturbed ones start at 20 %.
DISTURBED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity over the rounds, lower is better."""

    median: float
    least: float
    most: float
    #: To the reference; None for want of one.
    ratio: float | None

    def as_json(self) -> dict[str, float | None]:
        return {
            "median": round(self.median, 4),
            "least": round(self.least, 4),
            "most": round(self.most, 4),
            "ratio": None if self.ratio is None else round(self.ratio, 4),
        }


def figure(values: Sequence[float], reference: Sequence[float]) -> Figure:
    """The ratio is the median of the ratios of neighbouring rounds.

    So a machine that grows slower or faster in the course of a run moves both
    sides of each ratio and not the result.
    """
    pairs = [mine / its for mine, its in zip(values, reference, strict=False) if its]
    return Figure(
        statistics.median(values),
        min(values),
        max(values),
        statistics.median(pairs) if pairs else None,
    )


@dataclass(slots=True)
class Table:
    """Text in columns; the first is flush left, the others flush right."""

    head: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )


def ratio_text(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3f}"


def machine(names: Iterable[str]) -> dict[str, object]:
    """What a reader has to know to compare a result with his own."""
    model = "unknown"
    with Path("/proc/cpuinfo").open() as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "kernel": platform.release(),
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version for name in names if (version := version_of(name))},
    }


def machine_text(facts: dict[str, object]) -> str:
    versions = facts["versions"]
    assert isinstance(versions, dict)
    installed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Linux {facts['kernel']}, {facts['cores']} cores ({facts['cpu']}), "
        f"CPython {facts['python']}" + (f", {installed}" if installed else "")
    )

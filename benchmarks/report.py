"""From rounds to figures: the median, the spread, the ratio to a reference."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.loops import version_of

#: If a process waited for its core for more than this share of a round, the round says
#: more about the machine's other work than about the server.  Chosen from observation:
#: undisturbed rounds stay below 1 %, disturbed ones start at 20 %.
DISTURBED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity over all rounds; lower is better."""

    median: float
    least: float
    most: float
    #: To the reference; None without one.
    ratio: float | None

    def as_json(self) -> dict[str, float | None]:
        return {
            "median": round(self.median, 4),
            "least": round(self.least, 4),
            "most": round(self.most, 4),
            "ratio": None if self.ratio is None else round(self.ratio, 4),
        }


def figure(values: Sequence[float], reference: Sequence[float]) -> Figure:
    """The figure of *values*.

    The ratio is the median of the ratios of neighbouring rounds.  So if the machine
    becomes slower or faster during a run, both sides of each ratio change and the
    result does not.
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
    """Text in columns: the first is left-aligned, the others right-aligned."""

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
    """What a reader needs in order to compare a result with their own."""
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

"""What passes on asyncio but not on our loops, and whether that is reproducible."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .running import Results

OUTCOMES = ("passed", "failed", "error", "crashed", "hung", "skipped", "xfailed")

MODULES = {
    "asyncio": "asyncio.",
    "epoll": "aioadapt.epoll_loop.",
    "uring": "aioadapt.uring_loop.",
    "adaptive": "aioadapt.adaptive_loop.",
    "changing": "chosen_loop.",
}
"""The prefix of the class names of each kind in a result."""


@dataclass(frozen=True)
class Counted:
    """The figures of one suite over one loop."""

    outcomes: Counter[str]
    on_it: int
    """Tests in whose process the loop under test ran."""
    on_others: int
    """Tests in which a loop of another class ran, such as a subclass made by the test."""


def count(results: Results, kind: str) -> Counted:
    own = MODULES[kind]
    return Counted(
        Counter(result.outcome for result in results.values()),
        sum(any(name.startswith(own) for name in r.loops) for r in results.values()),
        sum(
            any(not name.startswith(own) for name in r.loops) for r in results.values()
        ),
    )


def lost(reference: Results, ours: Results) -> list[str]:
    """Tests that pass on asyncio and have any other outcome on ours."""
    return [
        test
        for test, result in reference.items()
        if result.outcome in ("passed", "xfailed")
        and (test not in ours or ours[test].outcome != result.outcome)
    ]


def table(counted: dict[tuple[str, str], Counted]) -> str:
    """Markdown with a row for each suite and loop."""
    shown = [o for o in OUTCOMES if any(c.outcomes[o] for c in counted.values())]
    rows = [["suite", "loop", *shown, "ran the loop"]]
    for (suite, kind), figures in counted.items():
        rows.append(
            [
                suite,
                kind,
                *(str(figures.outcomes[o]) for o in shown),
                str(figures.on_it),
            ]
        )
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

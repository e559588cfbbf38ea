"""What passes on asyncio and not on ours, and whether it always does so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .running import Results

OUTCOMES = ("passed", "failed", "error", "crashed", "hung", "skipped", "xfailed")

MODULES = {
    "asyncio": "asyncio.",
    "epoll": "aioadapt.epoll_loop.",
    "uring": "aioadapt.uring_loop.",
}
"""How the names of each kind's class begin in a result."""


@dataclass(frozen=True)
class Counted:
    """One suite over one loop, in figures."""

    outcomes: Counter[str]
    on_it: int
    """Tests in whose own process the loop under test ran."""
    on_others: int
    """Tests in which a loop of another class ran: a subclass made by the test, say."""


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
    """Tests that pass on asyncio and do anything else on ours."""
    return [
        test
        for test, result in reference.items()
        if result.outcome in ("passed", "xfailed")
        and (test not in ours or ours[test].outcome != result.outcome)
    ]


def table(counted: dict[tuple[str, str], Counted]) -> str:
    """Markdown, a row for each suite and loop."""
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

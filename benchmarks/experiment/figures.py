"""Percentiles of pauses, computed the same way by the server and the experiment."""

import math
from collections.abc import Sequence


def pauses_in_figures(pauses_s: Sequence[float]) -> dict[str, float]:
    """By nearest rank; zeros if nothing was moved."""
    ordered = sorted(pauses_s)

    def at(percent: int) -> float:
        if not ordered:
            return 0.0
        return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]

    return {
        "pause_p50_s": at(50),
        "pause_p99_s": at(99),
        "pause_max_s": at(100),
    }

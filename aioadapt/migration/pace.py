"""How many connections may be in flight between two loops at the same time.

Connections released together wait for each other's protocols to be created, so
having few in flight keeps every pause short.  But each handoff costs both loops an
iteration, and an iteration of a busy loop is long: a thousand connections, four at a
time, then take 250 rounds of several milliseconds.  So there are few in flight if
that finishes in time, and more if it does not.
"""

from math import ceil

# Measured with 1,000 connections to uvicorn on two loops under one GIL.  With the
# loops idle half of the time, 4 in flight move all of them within half a second, with
# pauses of 0.3 ms (p50) and 2 ms (p99).  With both loops saturated, 8 in flight do so
# within 0.7 s with a p99 of 2 to 5 ms, and 16 are hardly faster.  Nearly every such
# drain includes a full garbage collection of 10 to 50 ms, and all connections of one
# transfer wait for it: 8 of 1,000 are too few to raise the 99th percentile.
AT_LEAST, AT_MOST = 4, 8
# The goal is that all have moved within a second; this leaves a margin.
WITHIN_S = 0.7


class Pace:
    """As many in flight as it takes to finish in time, at the batch's pace so far.

    Args:
        at_least, at_most: bounds for ``max_in_flight``.
        within_s: seconds in which all should have moved, counted from when the
            first one stops being read.
    """

    def __init__(
        self,
        at_least: int = AT_LEAST,
        at_most: int = AT_MOST,
        *,
        within_s: float = WITHIN_S,
    ) -> None:
        self.max_in_flight = at_least
        self._at_least = at_least
        self._at_most = at_most
        self._within_s = within_s
        self._began_at_s: float | None = None
        self._rounds = 0

    def begins(self, now_s: float) -> None:
        """One of them stops being read; only the first call matters."""
        if self._began_at_s is None:
            self._began_at_s = now_s

    def finished(self, remaining: int, now_s: float) -> None:
        """A group has moved, or will not; *remaining* are left."""
        if self._began_at_s is None:
            return
        self._rounds += 1
        elapsed_s = now_s - self._began_at_s
        rounds_left = (self._within_s - elapsed_s) * self._rounds / (elapsed_s or 1e-9)
        needed = ceil(remaining / rounds_left) if rounds_left >= 1 else self._at_most
        self.max_in_flight = max(self._at_least, min(needed, self._at_most))

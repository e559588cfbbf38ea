"""How many connections may be between two loops at the same time.

Each of those that are let go together waits for the protocols of the others,
so few at once keep every pause short.  But each handing over costs both loops
an iteration, and where both are busy an iteration is long: a thousand connections, four
at once, are then 250 rounds of several milliseconds.  So there are few while
that is soon enough, and more while it is not.
"""

from math import ceil

# Measured with 1,000 connections to uvicorn on two loops under one GIL.  Idle
# half of the time, 4 at once follow within half a second, with a pause of
# 0.3 ms (p50) and 2 ms (p99).  Both saturated, 8 follow within 0.7 s with a p99
# of 2 to 5 ms, and 16 are hardly sooner.  A full garbage collection, 10 to 50 ms,
# falls into nearly every such drain: what is in the same transfer batch waits for it,
# and with 8 of 1,000 that is below the 99th percentile.
AT_LEAST, AT_MOST = 4, 8
# Below the second within which all are to have followed.
WITHIN_S = 0.7


class Pace:
    """As many at once as it takes to be in time, at the pace of the batch so far.

    Args:
        at_least, at_most: how many at once.
        within_s: seconds, from the first that stops, in which all of them
            should have arrived.
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
        """One of them stops; only the first time matters."""
        if self._began_at_s is None:
            self._began_at_s = now_s

    def finished(self, remaining: int, now_s: float) -> None:
        """Some have arrived together, or will not; *remaining* are still to go."""
        if self._began_at_s is None:
            return
        self._rounds += 1
        elapsed_s = now_s - self._began_at_s
        rounds_left = (self._within_s - elapsed_s) * self._rounds / (elapsed_s or 1e-9)
        needed = ceil(remaining / rounds_left) if rounds_left >= 1 else self._at_most
        self.max_in_flight = max(self._at_least, min(needed, self._at_most))

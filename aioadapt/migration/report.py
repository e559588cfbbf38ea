"""What moves answer and what they add up to."""

import threading
from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from aioadapt.stats import LATENCY_BOUNDS_S

from . import reasons
from .move import Move
from .phase import Phase


@dataclass(frozen=True, slots=True)
class MoveResult:
    """What became of one connection.

    Attributes:
        moved: whether the target serves it now.
        reason: why not; "" if it was moved.
        pause_s: how long nobody read from it, from the moment that the source
            stopped until the loop that serves it now had begun.  0 if it was
            not let go.
        carried_bytes: read by the source, not yet seen by any protocol, and
            given to the new one first.
    """

    moved: bool
    reason: str
    pause_s: float
    carried_bytes: int


class Pauses(NamedTuple):
    """Percentiles, each one a pause that was measured; in seconds."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, pauses_s: Sequence[float]) -> "Pauses":
        """By nearest rank; of no pauses at all they are 0."""
        if not pauses_s:
            return cls(0.0, 0.0, 0.0)
        ordered = sorted(pauses_s)

        def percentile(percent: int) -> float:
            return ordered[ceil(len(ordered) * percent / 100) - 1]

        return cls(percentile(50), percentile(99), ordered[-1])


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What became of the connections that a drain asked to leave.

    Attributes:
        moved: how many the target serves now.
        returned: how many of *left* had been let go already and were taken
            back by the source, with a new protocol.
        left: how many were not moved, by reason.  ``moved`` and these add up
            to all that were asked.
        pauses_s: one for each that was moved, in the order of asking.
        arrivals_s: for each of the same, in the same order, the seconds from
            the call of the drain until the target served it.
    """

    moved: int
    returned: int
    left: Mapping[str, int]
    pauses_s: tuple[float, ...]
    arrivals_s: tuple[float, ...] = ()

    @property
    def pause_s(self) -> Pauses:
        return Pauses.of(self.pauses_s)


@dataclass(frozen=True, slots=True)
class MigratorStats:
    """Counters that only grow, of everything one Migrator was asked to do.

    Attributes:
        moves: connections moved, by direction: ``{"epoll>uring": 3}``.
        returned: let go, refused by the target, taken back by the source.
        closed: let go and then closed: both loops had stopped.
        left: not moved, by reason; those returned and closed are in it.
        carried_bytes: read by a source and delivered by a target.
        pauses: of those moved, counted as ``LoopStats.latencies`` counts
            answers; to be read with ``LATENCY_BOUNDS_S``.
        pausing_s: the same pauses added up.
    """

    moves: Mapping[str, int] = field(default_factory=dict)
    returned: int = 0
    closed: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    carried_bytes: int = 0
    pauses: tuple[int, ...] = ()
    pausing_s: float = 0.0


class Tally:
    """The numbers behind :class:`MigratorStats`; any thread adds to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moves: Counter[str] = Counter()
        self._left: Counter[str] = Counter()
        self._returned = 0
        self._closed = 0
        self._carried_bytes = 0
        self._pauses = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self._pausing_s = 0.0

    def add(self, direction: str, moves: list[Move]) -> None:
        with self._lock:
            for move in moves:
                if move.phase is Phase.MOVED:
                    self._moves[direction] += 1
                    self._carried_bytes += move.carried_bytes
                    self._pauses[bisect(LATENCY_BOUNDS_S, move.pause_s)] += 1
                    self._pausing_s += move.pause_s
                else:
                    self._left[move.reason] += 1
                    self._returned += move.phase is Phase.RETURNED
                    self._closed += move.reason == reasons.NOT_ADOPTED

    def add_left(self, reason: str, count: int = 1) -> None:
        with self._lock:
            self._left[reason] += count

    def snapshot(self) -> MigratorStats:
        with self._lock:
            return MigratorStats(
                moves=dict(self._moves),
                returned=self._returned,
                closed=self._closed,
                left=dict(self._left),
                carried_bytes=self._carried_bytes,
                pauses=tuple(self._pauses),
                pausing_s=self._pausing_s,
            )


def result_of(move: Move) -> MoveResult:
    return MoveResult(
        moved=move.phase is Phase.MOVED,
        reason=move.reason,
        pause_s=move.pause_s,
        carried_bytes=move.carried_bytes,
    )


def report_of(moves: list[Move], *, asked_at_s: float) -> DrainReport:
    """*asked_at_s*: on the clock of :func:`time.monotonic`."""
    moved = [move for move in moves if move.phase is Phase.MOVED]
    return DrainReport(
        moved=len(moved),
        returned=sum(move.phase is Phase.RETURNED for move in moves),
        left=dict(Counter(m.reason for m in moves if m.phase is not Phase.MOVED)),
        pauses_s=tuple(move.pause_s for move in moved),
        arrivals_s=tuple(move.arrived_at_s - asked_at_s for move in moved),
    )

"""The results of moves, and their totals."""

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
        pause_s: how long no loop read from it: from when the source stopped reading
            until the loop that serves it now started.  0 if it was not released.
        carried_bytes: bytes read by the source that no protocol had seen; the new
            protocol got them first.
    """

    moved: bool
    reason: str
    pause_s: float
    carried_bytes: int


class Pauses(NamedTuple):
    """Percentiles of pauses, in seconds; each is one of the measured values."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, pauses_s: Sequence[float]) -> "Pauses":
        """By nearest rank; all 0 if there are no pauses."""
        if not pauses_s:
            return cls(0.0, 0.0, 0.0)
        ordered = sorted(pauses_s)

        def percentile(percent: int) -> float:
            return ordered[ceil(len(ordered) * percent / 100) - 1]

        return cls(percentile(50), percentile(99), ordered[-1])


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What became of the connections that a drain tried to move.

    Attributes:
        moved: how many the target serves now.
        returned: how many of *left* had already been released and were taken back
            by the source, with a new protocol.
        left: how many were not moved, by reason.  ``moved`` and these add up to all
            that were tried.
        pauses_s: one for each connection moved, in the order in which they were
            tried.
        arrivals_s: for the same connections, in the same order, the seconds from
            the call of the drain until the target served them.
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
    """Totals of one Migrator; they only grow.

    Attributes:
        moves: connections moved, by direction: ``{"epoll>uring": 3}``.
        returned: released, refused by the target, and taken back by the source.
        closed: released and then closed, because neither loop could adopt them.
        left: not moved, by reason; includes those returned and closed.
        carried_bytes: bytes read by a source and delivered by a target.
        pauses: of those moved, in the same buckets as ``LoopStats.latencies``; see
            ``LATENCY_BOUNDS_S``.
        pausing_s: the sum of the same pauses.
    """

    moves: Mapping[str, int] = field(default_factory=dict)
    returned: int = 0
    closed: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    carried_bytes: int = 0
    pauses: tuple[int, ...] = ()
    pausing_s: float = 0.0


class Tally:
    """Accumulates :class:`MigratorStats`; any thread may add to it."""

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

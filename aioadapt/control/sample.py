"""A sample: what both loops did together between two readings of their counters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from aioadapt.stats import LoopStats

Engine = Literal["epoll", "uring"]

# Counters that only grow; they are added up over the loops.
_SUMMED = (
    "requests",
    "callbacks",
    "events",
    "iterations",
    "bytes_in",
    "bytes_out",
    "enobufs",
    "cq_overflows",
    "errors",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The measurements of one tick, from which a decision is made.

    Attributes:
        at_s: when it was taken, on the controller's clock.
        seconds: the time since the sample before.
        connections: open at the end of the tick, including those that the
            application itself has opened.
        bytes_per_event: bytes in both directions per event, which is a ready
            descriptor or a completion.
        bytes_per_request: bytes in both directions per answered request; 0 if
            none was answered.
        busy_share: the share of the tick, from 0 to 1, that the loop accepting
            new connections did not spend waiting in the kernel.  Only that loop:
            under the GIL the busy times of the two overlap, since one waits for
            the other's Python, so their sum would say little.
    """

    at_s: float
    seconds: float
    connections: int
    requests_per_s: float = 0.0
    callbacks_per_s: float = 0.0
    bytes_per_event: float = 0.0
    bytes_per_request: float = 0.0
    events_per_iteration: float = 0.0
    busy_share: float = 0.0
    enobufs_per_s: float = 0.0
    cq_overflows_per_s: float = 0.0
    errors_per_s: float = 0.0
    events_per_s: float = 0.0
    iterations_per_s: float = 0.0


def sample_between(
    before: "Mapping[str, LoopStats]",
    after: "Mapping[str, LoopStats]",
    *,
    at_s: float,
    seconds: float,
    active: str,
) -> Sample:
    """Make the sample of one tick, over every loop in *after*.

    Args:
        before: the counters at the start of the tick, by engine.  A loop that
            is only in *after* is new, and everything it has counted belongs to
            this tick.
        after: the counters now.
        at_s: now, on the controller's clock.
        seconds: the time between the two.
        active: the engine that accepts new connections.
    """
    grown = dict.fromkeys(_SUMMED, 0)
    busy_s = 0.0
    for engine, now in after.items():
        then = before.get(engine)
        if then is not None and then.iterations > now.iterations:
            # A new loop has replaced one that ended.
            then = None
        for name in _SUMMED:
            grown[name] += getattr(now, name) - (getattr(then, name) if then else 0)
        if engine == active:
            busy_s = now.busy_s - (then.busy_s if then else 0.0)
    seconds = max(seconds, 1e-9)
    moved_bytes = grown["bytes_in"] + grown["bytes_out"]

    def each(what: float, of: str) -> float:
        return what / grown[of] if grown[of] else 0.0

    return Sample(
        at_s=at_s,
        seconds=seconds,
        connections=sum(stats.connections for stats in after.values()),
        requests_per_s=grown["requests"] / seconds,
        callbacks_per_s=grown["callbacks"] / seconds,
        bytes_per_event=each(moved_bytes, "events"),
        bytes_per_request=each(moved_bytes, "requests"),
        events_per_iteration=each(grown["events"], "iterations"),
        busy_share=min(1.0, max(0.0, busy_s / seconds)),
        enobufs_per_s=grown["enobufs"] / seconds,
        cq_overflows_per_s=grown["cq_overflows"] / seconds,
        errors_per_s=grown["errors"] / seconds,
        events_per_s=grown["events"] / seconds,
        iterations_per_s=grown["iterations"] / seconds,
    )

"""What a loop has counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil


def _bounds_s() -> tuple[float, ...]:
    bounds_us = [1.0, 2.0, 3.0, 4.0]
    while len(bounds_us) < 100:
        octave = 2.0 ** (len(bounds_us) // 4 - 1)
        bounds_us += [(5 + part) * octave for part in range(4)]
    return tuple(bound * 1e-6 for bound in bounds_us)


#: Seconds below which the answers of each place in ``LoopStats.latencies`` were
#: given; the last place has no bound.  Four to an octave, up to a minute.
LATENCY_BOUNDS_S = _bounds_s()


@dataclass(frozen=True, slots=True)
class LoopStats:
    """Counters of one loop since it was made; they only grow, but for the last two.

    ``events`` are descriptors found ready, or completions; of one iteration at most
    1,024 are collected.  ``busy_s`` is time not spent waiting in the kernel.
    ``direct_sends`` left by a system call of their own, ``ring_sends`` with
    the io_uring's submissions.  ``enobufs`` counts receives that found every
    buffer lent out and were begun again, ``cq_overflows`` bursts that did not
    fit into the completion queue and were kept by the kernel; neither loses
    anything.  ``errors`` are receives, sends and accepts that the kernel failed
    for another reason than that the peer has gone; not those of datagrams, each of
    which is its protocol's affair and ends nothing.

    HTTP/1 requests are counted where connections are watched, as those of a
    :class:`aioadapt.LoopThread` are: ``requests`` answered, ``answering_s``
    the seconds from a request's arrival to the end of its answer, added up, and
    ``latencies`` the same as counts, to be read with
    :data:`aioadapt.stats.LATENCY_BOUNDS_S` or
    :func:`aioadapt.stats.latency_percentile_s`.
    """

    engine: str
    iterations: int
    waits: int
    callbacks: int
    timers: int
    busy_s: float
    bytes_in: int
    bytes_out: int
    receives: int
    direct_sends: int
    ring_sends: int
    accepts: int
    moves_in: int
    moves_out: int
    enobufs: int
    connections: int
    events: int = 0
    requests: int = 0
    answering_s: float = 0.0
    latencies: tuple[int, ...] = ()
    errors: int = 0
    cancels: int = 0
    cq_overflows: int = 0
    in_kernel: int = field(default=0)


def latency_percentile_s(counts: Sequence[int], percent: float) -> float:
    """The bound below which *percent* of the answers were given; too high by a fifth at most.

    Args:
        counts: ``LoopStats.latencies``, or the differences of two.
        percent: 50 for the median.

    Returns:
        Seconds; 0 of no answers at all.
    """
    total = sum(counts)
    rank = ceil(total * percent / 100)
    seen = 0
    for count, bound_s in zip(counts, LATENCY_BOUNDS_S, strict=False):
        seen += count
        if seen >= rank > 0:
            return bound_s
    return LATENCY_BOUNDS_S[-1] if total else 0.0

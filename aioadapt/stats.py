"""The counters of a loop, as users read them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil


def _bounds_s() -> tuple[float, ...]:
    bounds_us = [1.0, 2.0, 3.0, 4.0]
    while len(bounds_us) < 100:
        octave = 2.0 ** (len(bounds_us) // 4 - 1)
        bounds_us += [(5 + part) * octave for part in range(4)]
    return tuple(bound * 1e-6 for bound in bounds_us)


#: Upper bounds, in seconds, of the buckets in ``LoopStats.latencies``; the last bucket
#: has none.  Four buckets per octave, up to a minute.
LATENCY_BOUNDS_S = _bounds_s()


@dataclass(frozen=True, slots=True)
class LoopStats:
    """Counters of one loop since it was created.

    They only grow, except ``connections``, ``on_uring`` and ``in_kernel``, which are
    current values.

    ``events`` are descriptors found ready, or completions; at most 1,024 are reaped
    per iteration.  ``swaps`` are connections that were given the other engine; of an
    adaptive loop ``on_uring`` is how many are on io_uring now, ``waits`` counts both
    engines, and ``epoll_waits`` those in epoll.  ``busy_s`` is time not spent waiting in
    the kernel.
    ``receives`` and ``sends`` are calls or completions, not bytes.  ``enobufs`` counts
    receives that found no free buffer and were restarted, ``cq_overflows`` counts bursts
    that did not fit into the completion queue and were kept by the kernel; neither loses
    anything.  ``errors`` are receives, sends and accepts that failed for any reason other
    than that the peer has gone.  Errors of datagrams are not counted: each is reported to
    its protocol and ends nothing.

    HTTP/1 requests are counted on watched connections, such as those of a
    :class:`aioadapt.LoopThread`.  ``requests`` is how many were answered.
    ``answering_s`` is the time from a request's arrival to the end of its answer,
    summed over all of them.  ``latencies`` counts the same times by bucket; see
    :data:`aioadapt.stats.LATENCY_BOUNDS_S` and
    :func:`aioadapt.stats.latency_percentile_s`.  ``swap_pauses``, of an adaptive loop,
    counts in the same buckets for how long connections that changed engines were served
    by neither.
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
    sends: int
    accepts: int
    moves_in: int
    moves_out: int
    enobufs: int
    connections: int
    events: int = 0
    requests: int = 0
    answering_s: float = 0.0
    latencies: tuple[int, ...] = ()
    swap_pauses: tuple[int, ...] = ()
    errors: int = 0
    cancels: int = 0
    cq_overflows: int = 0
    swaps: int = 0
    epoll_waits: int = 0
    on_uring: int = 0
    in_kernel: int = field(default=0)


def latency_percentile_s(counts: Sequence[int], percent: float) -> float:
    """The latency that *percent* of the answers stayed below, at most a fifth too high.

    Args:
        counts: ``LoopStats.latencies``, or the difference of two.
        percent: 50 for the median.

    Returns:
        Seconds; 0 if there were no answers.
    """
    total = sum(counts)
    rank = ceil(total * percent / 100)
    seen = 0
    for count, bound_s in zip(counts, LATENCY_BOUNDS_S, strict=False):
        seen += count
        if seen >= rank > 0:
            return bound_s
    return LATENCY_BOUNDS_S[-1] if total else 0.0

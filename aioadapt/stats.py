"""What a loop has counted."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LoopStats:
    """Counters of one loop since it was made; they only grow, but for the last two.

    ``busy_s`` is time not spent waiting in the kernel.  ``direct_sends`` left
    by a system call of their own, ``ring_sends`` with the io_uring's
    submissions.  ``enobufs`` counts receives that found every buffer lent out
    and were begun again, ``cq_overflows`` bursts that did not fit into the
    completion queue and were kept by the kernel; neither loses anything.
    """

    engine: str
    turns: int
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
    cancels: int = 0
    cq_overflows: int = 0
    in_kernel: int = field(default=0)

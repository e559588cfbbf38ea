"""Counters of a loop: plain integers, added to on the hot path and read from any thread."""

from libc.errno cimport (
    ECONNABORTED,
    ECONNRESET,
    EHOSTUNREACH,
    ENETUNREACH,
    ENOTCONN,
    EPIPE,
    ETIMEDOUT,
)

from aioadapt._kernel.linux cimport ECANCELED, now_ns

cdef extern from *:
    int __builtin_clzll(unsigned long long) noexcept nogil


cdef void count_answers(
        Counters *counted, long long responses, long long asked_at_ns) noexcept:
    """*responses* were written, the first to a request that arrived *asked_at_ns*."""
    cdef unsigned long long took_ns = max(0, now_ns() - asked_at_ns)
    counted.requests += responses
    counted.answering_ns += responses * took_ns
    counted.latencies[latency_index(took_ns // 1000)] += responses


cdef void count_swap(Counters *counted, long long began_at_ns) noexcept:
    """A connection has another driver; the one before it began to detach *began_at_ns*."""
    counted.swaps += 1
    counted.swap_pauses[latency_index((now_ns() - began_at_ns) // 1000)] += 1


cdef void count_failure(Counters *counted, int error) noexcept:
    """The kernel failed an operation; errors that mean the peer has gone do not count."""
    if error not in (ECONNRESET, EPIPE, ETIMEDOUT, ECONNABORTED, EHOSTUNREACH,
                     ENETUNREACH, ENOTCONN, ECANCELED):
        counted.errors += 1


cdef dict counts_by_name(Counters *c):
    return {
        "iterations": c.iterations,
        "events": c.events,
        "callbacks": c.callbacks,
        "timers": c.timers,
        "busy_s": c.busy_ns * 1e-9,
        "bytes_in": c.bytes_in,
        "bytes_out": c.bytes_out,
        "receives": c.receives,
        "sends": c.sends,
        "accepts": c.accepts,
        "moves_in": c.moves_in,
        "moves_out": c.moves_out,
        "swaps": c.swaps,
        "enobufs": c.enobufs,
        "errors": c.errors,
        "requests": c.requests,
        "answering_s": c.answering_ns * 1e-9,
        "latencies": in_buckets(c.latencies),
    }


cdef tuple in_buckets(unsigned long long *counts):
    cdef int i
    return tuple([counts[i] for i in range(LATENCIES)])


cdef int latency_index(unsigned long long took_us) noexcept:
    """The bucket: the octave, and the two bits below the highest one."""
    cdef int octave
    if took_us < 4:
        return <int> took_us
    octave = 63 - __builtin_clzll(took_us)
    return min(((octave - 1) << 2) + <int> ((took_us >> (octave - 2)) & 3), LATENCIES - 1)

cdef enum:
    # Responses, counted by latency: four buckets per octave of microseconds, so
    # that a percentile is accurate to a fifth.  The last bucket holds those that
    # took longer than 2**26 us, about a minute.  The bounds are in stats.py.
    LATENCIES = 101


cdef struct Counters:
    unsigned long long iterations, events, callbacks, timers, busy_ns
    unsigned long long bytes_in, bytes_out, receives, sends
    unsigned long long accepts, moves_in, moves_out, swaps, enobufs, errors
    unsigned long long requests, answering_ns
    unsigned long long latencies[LATENCIES]
    unsigned long long swap_pauses[LATENCIES]


cdef void count_answers(Counters *counted, long long responses, long long asked_at_ns) noexcept
cdef void count_swap(Counters *counted, long long began_at_ns) noexcept
cdef void count_failure(Counters *counted, int error) noexcept
cdef dict counts_by_name(Counters *counted)
cdef tuple in_buckets(unsigned long long *counts)

cdef enum:
    # Answers counted by how long they took: four to an octave of microseconds,
    # so that a percentile is known to a fifth; the last has what took longer
    # than 2**26 us, a minute.  stats.py has their bounds.
    LATENCIES = 101


cdef struct Counters:
    unsigned long long iterations, events, callbacks, timers, busy_ns
    unsigned long long bytes_in, bytes_out, receives
    unsigned long long direct_sends, ring_sends
    unsigned long long accepts, moves_in, moves_out, enobufs, errors
    unsigned long long requests, answering_ns
    unsigned long long latencies[LATENCIES]


cdef void count_answers(Counters *counted, long long responses, long long asked_at_ns) noexcept
cdef void count_failure(Counters *counted, int error) noexcept
cdef dict counts_by_name(Counters *counted)

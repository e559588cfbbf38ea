"""One response as it comes in, read and judged without keeping its body."""

from aioadapt.measure.workload cimport Verdict

cdef enum:
    IDENTITY_BYTES = 24      # as in wire.py; the numbers and their separators
    HEAD_BYTES = 1024        # ours have about 150; a guess

cdef struct Answer:
    long long body_bytes     # as its head says; -1 while the head is coming in
    long long read_bytes     # of the body, so far
    int head_bytes           # gathered in head, if it comes in pieces
    int status
    bint differs             # some byte differs from the pattern
    char identity[IDENTITY_BYTES]
    char head[HEAD_BYTES]

cdef struct Wanted:
    long long connection
    long long sequence
    long long body_bytes

cdef void begin(Answer *answer) noexcept nogil
cdef Verdict read(
    Answer *answer, const char **data, size_t *size, const Wanted *wanted,
    const char *pattern, long long pattern_bytes) noexcept nogil

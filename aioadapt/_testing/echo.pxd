"""Responses that are known byte for byte when their request is sent."""

from aioadapt.measure.workload cimport Verdict, Workload

cdef enum Wrong:
    NOTHING_WRONG
    A_BYTE                   # at an offset
    TOO_LONG
    TOO_SHORT                # a datagram

cdef class Known(Workload):
    cdef:
        readonly size_t answer_bytes
        size_t *received             # owned; bytes of each connection's response so far
        int most
        Wrong wrong
        size_t wrong_at

    cdef const char *answer(self, int index) noexcept nogil

cdef class Echo(Known):
    cdef:
        readonly size_t size_bytes
        char *requests               # owned; size_bytes for each connection
        unsigned long long number    # of the last operation

cdef class Fixed(Known):
    cdef:
        bytes _request, _answer
        const char *request_start    # borrowed from _request
        const char *answer_start     # borrowed from _answer
        size_t request_bytes

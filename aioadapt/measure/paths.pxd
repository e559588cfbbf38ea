"""HTTP requests whose path numbers them and gives the size of the response."""

from aioadapt.measure.answer cimport Answer, Wanted
from aioadapt.measure.workload cimport Verdict, Workload

cdef enum:
    REQUEST_BYTES = 96       # at most 89 are used: three numbers of up to 19 digits

cdef struct Path:
    Wanted wanted            # of the request in flight, else of the last one
    Answer answer
    char request[REQUEST_BYTES]

cdef class Paths(Workload):
    cdef:
        Path *paths                  # owned; one for each connection
        bytes _pattern
        const char *pattern          # borrowed from _pattern
        long long pattern_bytes
        long long body_bytes, large_bytes
        unsigned long long large_below
        unsigned long long dice
        long long numbers            # one for each connection ever opened

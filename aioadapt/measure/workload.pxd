"""What the load client sends, and which responses are right."""

cdef enum Verdict:
    UNFINISHED       # more of the response is to come
    RIGHT
    FAILED           # an error, or not the bytes that were asked for
    LOST             # no response: the connection was closed, or patience ended
    DUPLICATED       # answered before, or not requested
    MISROUTED        # the response to another connection's request, or out of order
    GARBLED          # not a response; where the next one begins is unknown

cdef class Workload:
    cdef:
        readonly bint datagrams      # over UDP, a datagram each way; else over TCP
        readonly bint strict         # the first fault ends the run with an error

    cdef int prepare(self, int most) except -1
    cdef void connected(self, int index) noexcept nogil
    cdef void ask(self, int index, const char **request, size_t *size) noexcept nogil
    cdef Verdict read(self, int index, const char **data, size_t *size) noexcept nogil

cimport cython
from libc.stdint cimport int64_t, uint64_t

from aioadapt._http1.framing cimport RequestFraming, ResponseFraming


cdef enum:
    # One bit each in a uint64_t.  No real client has more.
    UNANSWERED_LIMIT = 64


# Owns two objects that own no others, so there is no cycle to collect.
@cython.final
@cython.no_gc
cdef class Exchange:
    cdef:
        RequestFraming request       # what comes from the client
        ResponseFraming response     # what goes to it
        readonly int64_t requests    # begun
        readonly int64_t responses   # finished; interim ones (1xx) do not count

        # Requests whose head is complete and whose response is not, oldest
        # first; bit i is the i-th of them.
        int unanswered
        uint64_t to_head             # it is a HEAD
        uint64_t to_old              # it came over HTTP/1.0

        const char *last             # why this exchange will be the last; a literal
        const char *fault            # why the connection is opaque; a literal

    # Neither is called while the other is running.
    cdef void saw_inbound(self, const char *data, Py_ssize_t n) noexcept
    cdef void saw_outbound(self, const char *data, Py_ssize_t n) noexcept
    cdef bint is_quiet(self) noexcept

    cdef const char *request_head(self) noexcept
    cdef const char *response_head(self) noexcept
    cdef void answered(self) noexcept
    cdef void give_up(self, const char *fault) noexcept

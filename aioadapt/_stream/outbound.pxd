from aioadapt._http1.exchange cimport Exchange
from aioadapt._stream.endpoint cimport Endpoint


cdef class Outbound(Endpoint):
    cdef:
        # Only streams of plain servers, on a loop with watch_http1, have an exchange.
        Exchange exchange
        long long asked_at_ns        # when the oldest unanswered request arrived
        long long last_byte_ns

    cdef int write(self, object data) except -1
    cdef int write_eof(self) except -1
    cdef int send_now(self) except -1
    cdef int wait_for_room(self) except -1
    cdef void time_gathering(self) noexcept
    cdef bint watch_outbound(self, const char *data, Py_ssize_t n) noexcept
    cdef int sent(self, Py_ssize_t n) except -1
    cdef int send_failed(self, int error) except -1
    cdef int set_limits(self, object high, object low) except -1
    cdef int pause_protocol_if_full(self) except -1
    cdef int call_flow_control(self, str name) except -1
    cdef int all_sent(self) except -1
    cdef int shut_down_writing(self) noexcept

from aioadapt._stream.outbound cimport Outbound


cdef class Inbound(Outbound):
    cdef Py_ssize_t receive_into_buffer(self) except -1
    cdef bytes take_held(self)
    cdef object next_buffer(self)
    cdef bint has_next_buffer(self) except -1
    cdef bint can_fill(self, object buffer, Py_buffer *view) except -1
    cdef int buffer_filled(self, Py_ssize_t n) except -1
    cdef int hold(self, const char *data, Py_ssize_t n) except -1
    cdef int hold_rest(self, const char *data, Py_ssize_t n) except -1
    cdef int deliver_held(self) except -1
    cdef bint may_deliver(self) noexcept
    cdef int deliver(self, const char *data, Py_ssize_t n) except -1
    cdef int hand_over(self, const char *data, Py_ssize_t n) except -1
    cdef int deliver_to_buffers(self, const char *data, Py_ssize_t n) except -1
    cdef void watch_inbound(self, const char *data, Py_ssize_t n) noexcept
    cdef int deliver_end(self, int end) except -1

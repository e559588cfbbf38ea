from cpython.object cimport PyObject


cdef class Outgoing:
    cdef:
        PyObject **chunks            # ring of owned bytes objects
        Py_ssize_t first, count, room
        Py_ssize_t first_sent        # bytes of the first chunk that have been sent
        readonly Py_ssize_t size     # bytes waiting

    cdef int add(self, object chunk) except -1
    cdef Py_ssize_t send(self, int fd, bint *is_full) noexcept
    cdef void sent(self, Py_ssize_t n) noexcept
    cdef void clear(self) noexcept

from cpython.object cimport PyObject


cdef struct Due:
    double due_s
    unsigned long long sequence
    PyObject *handle             # owned


cdef class Timers:
    cdef:
        Due *heap                # owned
        Py_ssize_t count, room
        unsigned long long sequence

    cdef int add(self, double due_s, object handle) except -1
    cdef object take_first(self)
    cdef list in_order(self)
    cdef int remove(self, Py_ssize_t place) except -1
    cdef void clear(self) noexcept
    cdef void put(self, Py_ssize_t place, Due due) noexcept
    cdef void sift_up(self, Py_ssize_t place, Due due) noexcept
    cdef void sift_down(self, Py_ssize_t place, Due due) noexcept

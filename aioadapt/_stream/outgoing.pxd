from cpython.object cimport PyObject

from aioadapt._kernel.linux cimport iovec

cdef enum:
    # Chunks sent in one call: uvicorn writes two per response, and the kernel
    # copies this array on every call.
    CHUNKS_A_CALL = 64


cdef class Outgoing:
    cdef:
        PyObject **chunks            # ring of owned bytes objects
        Py_ssize_t first, count, room
        Py_ssize_t first_sent        # bytes of the first chunk that have been sent
        readonly Py_ssize_t size     # bytes waiting

    cdef int add(self, object chunk) except -1
    cdef int fill(self, iovec *vectors) noexcept
    cdef object chunk_at(self, Py_ssize_t place)
    cdef void sent(self, Py_ssize_t n) noexcept
    cdef void clear(self) noexcept

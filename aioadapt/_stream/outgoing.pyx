"""Bytes waiting to be sent, in the order in which they were written.

Chunks are kept as the objects that were written, and several are sent in one call.
An operation that lends their memory to the kernel holds references of its own:
chunks that are cleared here may still be in flight.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from aioadapt._kernel.linux cimport iovec

cdef enum:
    ROOM = 4


cdef class Outgoing:

    def __dealloc__(self):
        self.clear()
        PyMem_Free(self.chunks)

    def __len__(self):
        return self.size

    cdef int add(self, object chunk) except -1:
        """*chunk* is a bytes object and not empty."""
        cdef PyObject **larger
        cdef Py_ssize_t i, room
        if self.count == self.room:
            room = 2 * self.room if self.room else ROOM
            larger = <PyObject **> PyMem_Malloc(room * sizeof(PyObject *))
            if larger == NULL:
                raise MemoryError
            for i in range(self.count):
                larger[i] = self.chunks[(self.first + i) & (self.room - 1)]
            PyMem_Free(self.chunks)
            self.chunks = larger
            self.room = room
            self.first = 0
        Py_INCREF(chunk)
        self.chunks[(self.first + self.count) & (self.room - 1)] = <PyObject *> chunk
        self.count += 1
        self.size += PyBytes_GET_SIZE(chunk)
        return 0

    cdef object chunk_at(self, Py_ssize_t place):
        return <object> self.chunks[(self.first + place) & (self.room - 1)]

    cdef int fill(self, iovec *vectors) noexcept:
        """Point up to CHUNKS_A_CALL vectors at what is to be sent next; return how many."""
        cdef Py_ssize_t i, skip
        cdef PyObject *chunk
        cdef int n = 0
        skip = self.first_sent
        for i in range(min(self.count, CHUNKS_A_CALL)):
            chunk = self.chunks[(self.first + i) & (self.room - 1)]
            vectors[n].iov_base = PyBytes_AS_STRING(<object> chunk) + skip
            vectors[n].iov_len = PyBytes_GET_SIZE(<object> chunk) - skip
            skip = 0
            n += 1
        return n

    cdef void sent(self, Py_ssize_t n) noexcept:
        """The kernel has taken n bytes."""
        cdef PyObject *chunk
        cdef Py_ssize_t left
        self.size -= n
        while n > 0:
            chunk = self.chunks[self.first]
            left = PyBytes_GET_SIZE(<object> chunk) - self.first_sent
            if n < left:
                self.first_sent += n
                return
            n -= left
            self.first_sent = 0
            self.first = (self.first + 1) & (self.room - 1)
            self.count -= 1
            Py_DECREF(<object> chunk)

    cdef void clear(self) noexcept:
        cdef PyObject *chunk
        while self.count:
            chunk = self.chunks[self.first]
            self.first = (self.first + 1) & (self.room - 1)
            self.count -= 1
            Py_DECREF(<object> chunk)
        self.size = 0
        self.first_sent = 0

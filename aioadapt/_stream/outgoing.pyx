"""Bytes waiting to be sent, in the order in which they were written.

Chunks are kept as the objects that were written, and several are sent in one call.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from libc.errno cimport EAGAIN, errno
from libc.string cimport memset

from aioadapt._kernel.linux cimport MSG_DONTWAIT, MSG_NOSIGNAL, iovec, msghdr, sendmsg
from aioadapt._kernel.linux cimport send as send_to_socket

cdef enum:
    ROOM = 4
    # uvicorn writes two per response, and the kernel copies this array on every call.
    CHUNKS_A_CALL = 64


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

    cdef Py_ssize_t send(self, int fd, bint *is_full) noexcept:
        """One send(2) of what comes first: the bytes taken, or a negative errno.

        *is_full* says whether the socket has no room for more.
        """
        cdef iovec vectors[CHUNKS_A_CALL]
        cdef msghdr message
        cdef Py_ssize_t i, n, asked = 0, skip = self.first_sent
        cdef PyObject *chunk
        cdef int count = min(self.count, CHUNKS_A_CALL)
        for i in range(count):
            chunk = self.chunks[(self.first + i) & (self.room - 1)]
            vectors[i].iov_base = PyBytes_AS_STRING(<object> chunk) + skip
            vectors[i].iov_len = PyBytes_GET_SIZE(<object> chunk) - skip
            asked += vectors[i].iov_len
            skip = 0
        if count == 1:
            n = send_to_socket(fd, vectors[0].iov_base, asked, MSG_DONTWAIT | MSG_NOSIGNAL)
        else:
            memset(&message, 0, sizeof(message))
            message.msg_iov = vectors
            message.msg_iovlen = count
            n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
        if n < 0:
            is_full[0] = errno == EAGAIN
            return -errno
        is_full[0] = n < asked
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

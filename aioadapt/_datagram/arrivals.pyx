"""Receives datagrams: one call takes all that are waiting, up to a limit.

All endpoints of a loop receive into the same memory, one after the other.  The
datagrams are copied out before any of the protocols runs.

The limit is sixteen.  A C server that received datagrams one by one used 1.2 to
1.3 times the CPU of one that took up to sixteen per call, with 16 and with 64
clients; and it is small enough that one busy socket does not starve the others.

No datagram is truncated.  An IPv4 or IPv6 datagram has at most 64 KiB.  A Unix
datagram may be as large as its sender's SO_SNDBUF, so these are received one by
one, into all of the memory: the size of the next one is queried first, and the
memory grows to hold it.  If it cannot grow, the endpoint gets an error.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.errno cimport errno
from libc.string cimport memset

from aioadapt._datagram.address_book cimport AddressBook
from aioadapt._kernel.linux cimport (
    AF_INET,
    AF_INET6,
    MSG_DONTWAIT,
    MSG_PEEK,
    MSG_TRUNC,
    recv,
    recvmmsg,
    sockaddr_storage,
    socklen_t,
)

cdef enum:
    PLACE_BYTES = 65536
    MEMORY_BYTES = BATCH * PLACE_BYTES     # initially


cdef class Arrivals:

    def __cinit__(self):
        cdef int i
        self.book = AddressBook()
        self.memory = <char *> PyMem_RawMalloc(MEMORY_BYTES)
        if self.memory == NULL:
            raise MemoryError
        self.memory_bytes = MEMORY_BYTES
        self.point_at_memory()
        memset(self.messages, 0, sizeof(self.messages))
        for i in range(BATCH):
            self.messages[i].msg_hdr.msg_iov = &self.places[i]
            self.messages[i].msg_hdr.msg_iovlen = 1
            self.messages[i].msg_hdr.msg_name = &self.names[i]
            self.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    cdef int receive(self, int fd, int family) noexcept:
        """Returns the number of datagrams received, or a negative errno."""
        cdef int n
        if family == AF_INET or family == AF_INET6:
            n = recvmmsg(fd, self.messages, BATCH, MSG_DONTWAIT, NULL)
        else:
            self.make_room(recv(fd, NULL, 0, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC))
            self.places[0].iov_len = self.memory_bytes
            n = recvmmsg(fd, self.messages, 1, MSG_DONTWAIT, NULL)
            self.places[0].iov_len = PLACE_BYTES
        return n if n >= 0 else -errno

    cdef void make_room(self, Py_ssize_t size) noexcept:
        cdef char *larger
        if size > self.memory_bytes:
            larger = <char *> PyMem_RawRealloc(self.memory, size)
            if larger != NULL:
                self.memory = larger
                self.memory_bytes = size
                self.point_at_memory()

    cdef void point_at_memory(self) noexcept:
        cdef int i
        for i in range(BATCH):
            self.places[i].iov_base = self.memory + i * PLACE_BYTES
            self.places[i].iov_len = PLACE_BYTES

    cdef bint is_whole(self, int i) noexcept:
        return not self.messages[i].msg_hdr.msg_flags & MSG_TRUNC

    cdef bytes data_at(self, int i):
        return PyBytes_FromStringAndSize(
            <char *> self.places[i].iov_base, self.messages[i].msg_len)

    cdef object address_at(self, int i):
        """Call this once for each datagram: it also resets the place for the next call."""
        cdef socklen_t size = self.messages[i].msg_hdr.msg_namelen
        self.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
        return self.book.address_of(&self.names[i], size)

"""Where datagrams arrive: one call takes all that wait, up to a bound.

All endpoints of a loop receive into the same memory, one after the other; it
is copied out before any of their protocols runs.

Sixteen at once: a C server that took them one by one used 1.2 to 1.3 times the
CPU of one that did so, with 16 and with 64 clients; and it is few enough that
one busy socket does not starve the others.

No datagram is cut short.  An IPv4 or IPv6 datagram has at most 64 KiB.  A Unix
datagram may have as much as its sender's SO_SNDBUF, so these are taken one by
one, into all of the memory; how long the next one is, is asked first, and the
memory grows to hold it.  Where that cannot be, its endpoint is told.
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
    MEMORY_BYTES = AT_ONCE * PLACE_BYTES     # at first


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
        for i in range(AT_ONCE):
            self.messages[i].msg_hdr.msg_iov = &self.places[i]
            self.messages[i].msg_hdr.msg_iovlen = 1
            self.messages[i].msg_hdr.msg_name = &self.names[i]
            self.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    cdef int receive(self, int fd, int family) noexcept:
        """How many have arrived, or a negative errno."""
        cdef int n
        if family == AF_INET or family == AF_INET6:
            n = recvmmsg(fd, self.messages, AT_ONCE, MSG_DONTWAIT, NULL)
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
        for i in range(AT_ONCE):
            self.places[i].iov_base = self.memory + i * PLACE_BYTES
            self.places[i].iov_len = PLACE_BYTES

    cdef bint is_whole(self, int i) noexcept:
        return not self.messages[i].msg_hdr.msg_flags & MSG_TRUNC

    cdef bytes data_at(self, int i):
        return PyBytes_FromStringAndSize(
            <char *> self.places[i].iov_base, self.messages[i].msg_len)

    cdef object address_at(self, int i):
        """To be asked for once: it makes the place ready for the next call."""
        cdef socklen_t size = self.messages[i].msg_hdr.msg_namelen
        self.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
        return self.book.address_of(&self.names[i], size)

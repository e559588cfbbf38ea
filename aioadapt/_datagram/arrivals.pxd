from aioadapt._datagram.address_book cimport AddressBook
from aioadapt._kernel.linux cimport iovec, mmsghdr, sockaddr_storage

cdef enum:
    BATCH = 16               # datagrams in one call; measured: see arrivals.pyx


cdef class Arrivals:
    cdef:
        AddressBook book
        char *memory                          # owned
        Py_ssize_t memory_bytes
        mmsghdr messages[BATCH]
        iovec places[BATCH]
        sockaddr_storage names[BATCH]

    cdef int receive(self, int fd, int family) noexcept
    cdef void make_room(self, Py_ssize_t size) noexcept
    cdef void point_at_memory(self) noexcept
    cdef bint is_whole(self, int i) noexcept
    cdef bytes data_at(self, int i)
    cdef object address_at(self, int i)

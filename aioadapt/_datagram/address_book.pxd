from cpython.object cimport PyObject

from aioadapt._kernel.linux cimport sockaddr_in6, sockaddr_storage, socklen_t

cdef enum:
    PLACES = 256             # a guess; two addresses in one place evict each other


cdef union Name:
    sockaddr_in6 longest     # the longer of the two kinds that are kept
    char octets[28]


cdef struct Entry:
    PyObject *address        # owned; NULL: the place is free
    Name name
    socklen_t size


cdef class AddressBook:
    cdef:
        Entry by_name[PLACES]
        Entry by_address[PLACES]

    cdef object address_of(self, sockaddr_storage *name, socklen_t size)
    cdef Entry *name_of(self, object address, int family) except? NULL

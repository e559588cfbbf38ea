"""A cache of recent datagram addresses, in the kernel's form and in Python's.

Formatting an address as text and parsing it again costs as much as a quarter of
an echo.  A server hears from the same peers again and again, and answers to the
very tuple that it was given.  So both directions are cached, in hash tables with
a single place for each hash: a newer address replaces the older one.

Only numeric IPv4 and IPv6 addresses are kept, and only tuples that cannot change:
an exact tuple of exact strings and integers.  Everything else is left to the
socket module.
"""

from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from aioadapt._kernel.addresses cimport address_of as address_in_python
from aioadapt._kernel.linux cimport (
    AF_INET,
    AF_INET6,
    htonl,
    htons,
    inet_pton,
    sockaddr_in,
    sockaddr_in6,
    sockaddr_storage,
    socklen_t,
)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8(object text) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1

cdef enum:
    LARGEST_FLOW = 0xFFFFF       # as in the socket module


cdef class AddressBook:

    def __dealloc__(self):
        cdef int place
        for place in range(PLACES):
            Py_XDECREF(self.by_name[place].address)
            Py_XDECREF(self.by_address[place].address)

    cdef object address_of(self, sockaddr_storage *name, socklen_t size):
        """The address in the socket module's form; None if the datagram has no sender."""
        cdef Entry *entry
        cdef Entry *back
        if size == 0:
            return None
        if not (name.ss_family == AF_INET and size == sizeof(sockaddr_in)) and not (
                name.ss_family == AF_INET6 and size == sizeof(sockaddr_in6)):
            return address_in_python(name, size)
        entry = &self.by_name[hash_of_name(name, size)]
        if entry.address != NULL and entry.size == size \
                and memcmp(&entry.name, name, size) == 0:
            return <object> entry.address
        address = address_in_python(name, size)
        put(entry, address, name, size)
        # A reply is sent to this very tuple.
        back = &self.by_address[hash_of_address(address)]
        put(back, address, name, size)
        return address

    cdef Entry *name_of(self, object address, int family) except? NULL:
        """The kernel's form of an address; NULL if the socket module has to handle it."""
        cdef Entry *entry = &self.by_address[hash_of_address(address)]
        cdef Name name
        cdef socklen_t size
        if entry.address == <PyObject *> address and (
                <sockaddr_storage *> &entry.name).ss_family == family:
            return entry
        size = parse(address, family, &name)
        if size == 0:
            return NULL
        put(entry, address, &name, size)
        return entry


cdef int put(Entry *entry, object address, void *name, socklen_t size) except -1:
    cdef PyObject *before = entry.address
    Py_INCREF(address)
    entry.address = <PyObject *> address
    entry.size = size
    memcpy(&entry.name, name, size)
    Py_XDECREF(before)
    return 0


cdef inline unsigned hash_of_address(object address) noexcept:
    # Objects are aligned to 16 bytes.
    return <unsigned> ((<size_t> <void *> address >> 4) * 0x9E3779B97F4A7C15ULL >> 56)


cdef inline unsigned hash_of_name(sockaddr_storage *name, socklen_t size) noexcept:
    """The length of both kinds is a multiple of four octets."""
    cdef uint64_t mixed = 0
    cdef uint32_t *words = <uint32_t *> name
    cdef unsigned i
    for i in range(size // 4):
        mixed = (mixed ^ words[i]) * 0x9E3779B97F4A7C15ULL
    return <unsigned> (mixed >> 56)


cdef int number_at(object address, Py_ssize_t i, long long most, long long *into) except -1:
    """1 if item *i* is an exact int from 0 to *most*; it is then in *into*."""
    cdef object number = <object> PyTuple_GET_ITEM(address, i)
    cdef int overflow = 0
    if not PyLong_CheckExact(number):
        return 0
    into[0] = PyLong_AsLongLongAndOverflow(number, &overflow)
    return overflow == 0 and 0 <= into[0] <= most


cdef socklen_t parse(object address, int family, Name *name) except? 1:
    """Returns the size of the name; 0 if we cannot parse the address."""
    cdef sockaddr_in *v4 = <sockaddr_in *> name
    cdef sockaddr_in6 *v6 = <sockaddr_in6 *> name
    cdef long long port = 0, flow = 0, scope = 0
    cdef Py_ssize_t count
    if not PyTuple_CheckExact(address):
        return 0
    count = PyTuple_GET_SIZE(address)
    if count < 2 or count > (2 if family == AF_INET else 4):
        return 0
    host = <object> PyTuple_GET_ITEM(address, 0)
    if not PyUnicode_CheckExact(host) or not host.isascii() or "\0" in host:
        return 0
    if not number_at(address, 1, 0xFFFF, &port):
        return 0
    memset(name, 0, sizeof(Name))
    if family == AF_INET:
        if inet_pton(AF_INET, PyUnicode_AsUTF8(host), &v4.sin_addr) != 1:
            return 0
        v4.sin_family = AF_INET
        v4.sin_port = htons(<unsigned short> port)
        return sizeof(sockaddr_in)
    if family != AF_INET6:
        return 0
    if count > 2 and not number_at(address, 2, LARGEST_FLOW, &flow):
        return 0
    if count > 3 and not number_at(address, 3, 0xFFFFFFFFLL, &scope):
        return 0
    if inet_pton(AF_INET6, PyUnicode_AsUTF8(host), &v6.sin6_addr) != 1:
        return 0
    v6.sin6_family = AF_INET6
    v6.sin6_port = htons(<unsigned short> port)
    v6.sin6_flowinfo = htonl(<uint32_t> flow)
    v6.sin6_scope_id = <uint32_t> scope
    return sizeof(sockaddr_in6)

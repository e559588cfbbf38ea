"""Socket addresses, in the form that Python's socket module uses."""

from libc.string cimport memchr

from aioadapt._kernel.linux cimport (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    INET6_ADDRSTRLEN,
    getpeername,
    getsockname,
    inet_ntop,
    ntohl,
    ntohs,
    sockaddr,
    sockaddr_in,
    sockaddr_in6,
    sockaddr_storage,
    socklen_t,
)

import os

cdef extern from "Python.h":
    int PyUnicode_1BYTE_KIND
    object PyUnicode_FromKindAndData(int kind, const void *text, Py_ssize_t size)

cdef extern from "<sys/un.h>":
    struct sockaddr_un:
        char *sun_path


cdef object address_of(sockaddr_storage *address, socklen_t size):
    """The address as a Python object; None for an unsupported address family."""
    cdef char text[64]
    cdef sockaddr_in *v4
    cdef sockaddr_in6 *v6
    cdef char *path
    cdef Py_ssize_t length
    if address.ss_family == AF_INET:
        v4 = <sockaddr_in *> address
        return dotted(<unsigned char *> &v4.sin_addr), ntohs(v4.sin_port)
    if address.ss_family == AF_INET6:
        v6 = <sockaddr_in6 *> address
        inet_ntop(AF_INET6, &v6.sin6_addr, text, INET6_ADDRSTRLEN)
        return (text.decode("ascii"), ntohs(v6.sin6_port),
                ntohl(v6.sin6_flowinfo), v6.sin6_scope_id)
    if address.ss_family == AF_UNIX:
        path = (<sockaddr_un *> address).sun_path
        length = size - (path - <char *> address)
        if length <= 0:
            return ""
        if path[0] == 0:
            return path[:length]      # abstract: bytes, as in the socket module
        end = <char *> memchr(path, 0, length)
        if end != NULL:
            length = end - path
        return os.fsdecode(path[:length])
    return None


cdef object dotted(const unsigned char *octets):
    """inet_ntop takes 1,700 instructions for it, of the 28,000 of a short connection."""
    cdef char text[16]
    cdef int i, size = 0
    cdef unsigned char octet
    for i in range(4):
        octet = octets[i]
        if i:
            text[size] = c"."
            size += 1
        if octet >= 100:
            text[size] = c"0" + octet // 100
            size += 1
        if octet >= 10:
            text[size] = c"0" + octet // 10 % 10
            size += 1
        text[size] = c"0" + octet % 10
        size += 1
    return PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, text, size)


cdef object peer_address(int fd):
    """The peer's address; None once there is no peer."""
    cdef sockaddr_storage address
    cdef socklen_t size = sizeof(address)
    if getpeername(fd, <sockaddr *> &address, &size) < 0:
        return None
    return address_of(&address, size)


cdef object own_address(int fd):
    cdef sockaddr_storage address
    cdef socklen_t size = sizeof(address)
    if getsockname(fd, <sockaddr *> &address, &size) < 0:
        return None
    return address_of(&address, size)

from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.fd_callbacks cimport FdCore


cdef class Listener:
    cdef:
        FdCore loop
        readonly object sock         # the server's socket; asyncio's Server closes it
        readonly object kept_open    # what hold_socket returned for it
        readonly int fd
        readonly object protocol_factory
        readonly object server
        readonly object sslcontext
        readonly bint is_accepting
        readonly object sockname     # as it was when serving began
        readonly int family, type, proto
        int backlog
        object timeouts              # TLS handshake and shutdown, in seconds
        object context               # in which connections are accepted
        AcceptWatch watch            # None until it first accepts
        bint will_retry              # out of resources: reported, and a timer is set

    cdef int start(self) except -1
    cdef int stop(self) except -1
    cdef int accept_some(self) except -1
    cdef int accepted(self, int fd, object peername) except -1
    cdef int accept_failed(self, int error) except -1


cdef class AcceptWatch(Watch):
    cdef Listener listener


cdef class Accepted:
    cdef int fd                      # owned; -1 once it has another owner

    cdef object as_socket(self, Listener listener)

cimport cython
from aioadapt._kernel.op cimport Op
from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.core cimport LoopCore
from aioadapt._stream.epoll_driver cimport EpollCore
from aioadapt._stream.uring_core cimport UringCore


cdef class Listener:
    cdef:
        LoopCore loop
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
        object context               # copied for each connection

    cdef int start(self) except -1
    cdef int stop(self) except -1
    cdef int accepted(self, int fd, object peername) except -1
    cdef int accept_failed(self, int error) except -1


cdef class EpollListener(Listener):
    cdef Watch watch

    cdef int accept_some(self) except -1


cdef class AcceptWatch(Watch):
    cdef EpollListener listener


cdef class UringListener(Listener):
    cdef AcceptOp op


@cython.no_gc_clear
cdef class AcceptOp(Op):
    cdef UringListener listener

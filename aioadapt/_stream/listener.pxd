cimport cython
from aioadapt._kernel.op cimport Op
from aioadapt._kernel.poller cimport Watch
from aioadapt._stream.completion_turn cimport CompletionTurn
from aioadapt._stream.readiness cimport ReadinessTurn
from aioadapt._turn.turn cimport Turn


cdef class Listener:
    cdef:
        Turn turn
        readonly object sock         # the server's socket; asyncio's Server closes it
        readonly object kept_open    # what hold_socket gave for it
        readonly int fd
        readonly object protocol_factory
        readonly object server
        readonly object sslcontext
        readonly bint is_accepting
        readonly object sockname     # as it was when serving began
        readonly int family, type, proto
        int backlog
        object timeouts              # TLS handshake and shutdown, in seconds
        object context               # in which connections are made

    cdef int start(self) except -1
    cdef int stop(self) except -1
    cdef int accepted(self, int fd, object peername) except -1
    cdef int accept_failed(self, int error) except -1


cdef class ReadinessListener(Listener):
    cdef Watch watch

    cdef int accept_some(self) except -1


cdef class AcceptWatch(Watch):
    cdef ReadinessListener listener


cdef class CompletionListener(Listener):
    cdef AcceptOp op


@cython.no_gc_clear
cdef class AcceptOp(Op):
    cdef CompletionListener listener

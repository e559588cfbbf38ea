from aioadapt._kernel.poller cimport Watch
from aioadapt._stream.accepting cimport ConnectionMaker


cdef class Listener(ConnectionMaker):
    cdef:
        readonly object sock         # the server's socket; asyncio's Server closes it
        readonly object kept_open    # what hold_socket returned for it
        readonly int fd
        readonly bint is_accepting
        readonly object sockname     # as it was when serving began
        int backlog
        object context               # in which connections are accepted
        AcceptWatch watch            # None until it first accepts
        bint will_retry              # out of resources: reported, and a timer is set

    cdef int start(self) except -1
    cdef int stop(self) except -1
    cdef int accept_some(self) except -1
    cdef int accept_failed(self, int error) except -1


cdef class AcceptWatch(Watch):
    cdef Listener listener

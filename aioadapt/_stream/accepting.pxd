from aioadapt._loop.fd_callbacks cimport FdCore
from aioadapt._loop.handle cimport Handle
from aioadapt._stream.stream cimport Stream


cdef enum Stage:
    ACCEPTED                         # the protocol will be made
    MAKING
    MADE                             # connection_made will be called
    OPENED
    FAILED


cdef class ConnectionMaker:
    cdef:
        FdCore loop
        readonly object protocol_factory
        readonly object server
        readonly object sslcontext
        readonly int family, type, proto
        object timeouts              # TLS handshake and shutdown, in seconds
        list idle_tasks              # AcceptTask: those that stand for nobody, oldest first

    cdef int accepted(self, int fd, object peername) except -1
    cdef bint may_go_without_a_task(self) except -1
    cdef AcceptTask new_task(self)


cdef class Accepting(Handle):
    cdef:
        ConnectionMaker maker
        int fd                       # owned; -1 once it has another owner
        object peername
        Stream stream
        Stage stage
        AcceptTask task              # None if there is a real one from the beginning
        object first_step            # handle: of the real task that has taken over
        object waiter                # of a real task: done once opened
        object ends_run              # the SystemExit or KeyboardInterrupt of the factory

    cdef int schedule(self) except -1
    cdef int take_step(self) except -1
    cdef int make_in_task(self) except -1
    cdef int make(self) except -1
    cdef int open(self) except -1
    cdef int end(self, Stage stage) except -1
    cdef int report(self, object exc) except -1
    cdef object as_socket(self)


cdef class AcceptTask:
    cdef:
        ConnectionMaker maker
        bint is_pending              # its connection has not opened
        Accepting running            # while it takes a step
        int fd                       # afterwards, where its stream is: -1 for none
        unsigned long long id
        long long opened_in          # the loop's iteration
        object real                  # the asyncio.Task, once somebody needs one
        object __weakref__

    cdef bint is_over(self) noexcept
    cdef Accepting find(self)
    cdef object real_task(self)

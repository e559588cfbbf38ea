cimport cython
from aioadapt._engine.driver cimport Driven, Driver
from aioadapt._engine.uring.core cimport UringCore
from aioadapt._kernel.op cimport Op
from aioadapt._loop.hooks cimport FlushHook


cdef enum ServingState:
    SERVING              # each operation is begun and cancelled as the stream wants
    OUT_OF_BUFFERS       # the recv ended for want of a buffer, and begins again later
    DETACHING            # both are cancelled, and nothing is begun


cdef enum ReceiveMode:
    MULTISHOT
    POLL


@cython.no_gc_clear
cdef class RecvOp(Op):
    cdef:
        UringStreamDriver driver
        ReceiveMode mode


@cython.no_gc_clear
cdef class RoomOp(Op):
    cdef UringStreamDriver driver


cdef class UringStreamDriver(Driver):
    cdef:
        UringCore loop
        Driven stream                # None: there is nothing to report to
        RecvOp recv                  # None until reading first starts
        RoomOp room_op               # None until the socket is first full
        UpdateReceive at_end         # None until first needed
        ReceiveMode mode             # of the next receive
        int small_reads              # in a row, in mode POLL
        unsigned long long bytes_iteration   # the last one in which bytes arrived
        ServingState state

    cdef int recv_completed(self, int result, unsigned flags, bint last) except -1
    cdef int update_receive_soon(self) except -1
    cdef int update_receive(self) except -1
    cdef int poll_completed(self, int result) except -1
    cdef int received_much(self, unsigned number, bint last) except -1
    cdef int recv_ended(self, int result) except -1
    cdef int room_completed(self, int result) except -1
    cdef bint recv_is_reaped(self) noexcept
    cdef int detach_when_idle(self) except -1


cdef class UpdateReceive(FlushHook):
    cdef UringStreamDriver driver

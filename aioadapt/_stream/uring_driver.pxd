cimport cython
from aioadapt._kernel.op cimport Op
from aioadapt._loop.hooks cimport FlushHook
from aioadapt._stream.endpoint cimport Driver
from aioadapt._stream.stream cimport Stream
from aioadapt._stream.uring_core cimport UringCore


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
        Stream stream                # None: there is nothing to report to
        RecvOp recv                  # None until reading first starts
        RoomOp room_op             # None until the socket is first full
        UpdateReceive at_end         # None until first needed
        ReceiveMode mode             # of the next receive
        int small_reads              # in a row, in mode POLL
        unsigned long long bytes_iteration   # the last one in which bytes arrived
        bint ran_out                 # the recv ended because there was no buffer
        bint is_detaching

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

cimport cython
from aioadapt._kernel.op cimport Op
from aioadapt._loop.hooks cimport FlushHook
from aioadapt._stream.endpoint cimport Driver
from aioadapt._stream.stream cimport Stream
from aioadapt._stream.uring_core cimport UringCore


@cython.no_gc_clear
cdef class RecvOp(Op):
    cdef:
        UringStreamDriver driver
        bint is_multishot


@cython.no_gc_clear
cdef class RoomOp(Op):
    cdef UringStreamDriver driver


cdef class UringStreamDriver(Driver):
    cdef:
        UringCore loop
        Stream stream                # None: there is nothing to report to
        RecvOp recv                  # None until reading first starts
        RoomOp room_op             # None until the socket is first full
        bint wants_to_read
        bint is_detaching

    cdef int recv_completed(self, int result, unsigned flags, bint last) except -1
    cdef int arm(self) except -1
    cdef int room_completed(self, int result) except -1
    cdef bint recv_is_reaped(self) noexcept
    cdef int detach_when_idle(self) except -1


cdef class Rearm(FlushHook):
    cdef UringStreamDriver driver

cimport cython
from aioadapt._kernel.linux cimport iovec, msghdr
from aioadapt._kernel.op cimport Op
from aioadapt._loop.core cimport FlushHook
from aioadapt._stream.endpoint cimport Driver
from aioadapt._stream.outgoing cimport CHUNKS_A_CALL
from aioadapt._stream.stream cimport Stream
from aioadapt._stream.uring_core cimport UringCore


@cython.no_gc_clear
cdef class RecvOp(Op):
    cdef:
        UringStreamDriver driver
        bint is_multishot


@cython.no_gc_clear
cdef class SendOp(Op):
    cdef:
        UringStreamDriver driver
        list chunks                  # keeps alive what the vectors point to
        iovec vectors[CHUNKS_A_CALL]
        int count
        msghdr message


cdef class UringStreamDriver(Driver):
    cdef:
        UringCore loop
        Stream stream                # None: there is nothing to report to
        RecvOp recv                  # None until reading first starts
        SendOp send_op
        bint wants_to_read
        bint is_detaching

    cdef int recv_completed(self, int result, unsigned flags, bint last) except -1
    cdef int send_completed(self, int result) except -1
    cdef int arm(self) except -1
    cdef int begin_send(self) except -1
    cdef int send_directly(self) except -1
    cdef int detach_when_idle(self) except -1


cdef class Rearm(FlushHook):
    cdef UringStreamDriver driver

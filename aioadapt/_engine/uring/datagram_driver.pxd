cimport cython
from aioadapt._engine.driver cimport Driven, Driver
from aioadapt._engine.uring.core cimport UringCore
from aioadapt._kernel.op cimport Op
from aioadapt._loop.hooks cimport FlushHook


@cython.no_gc_clear
cdef class DatagramPoll(Op):
    cdef:
        UringDatagramDriver driver
        bint is_for_room


cdef class UringDatagramDriver(Driver):
    cdef:
        UringCore loop
        Driven endpoint              # None when there is nobody to report to
        DatagramPoll arrival_op
        DatagramPoll room_op
        bint is_detaching
        bint room_waits_for_arrivals  # both have completed; arrivals are dispatched next

    cdef bint arrivals_are_reaped(self) noexcept
    cdef bint wants(self, bint room) noexcept
    cdef int update(self, bint room) except -1
    cdef int completed(self, bint room, int result) except -1
    cdef int detach_when_idle(self) except -1


cdef class PollAgain(FlushHook):
    cdef DatagramPoll op

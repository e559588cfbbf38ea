cimport cython
from libc.stdint cimport uint32_t

from aioadapt._datagram.endpoint cimport DatagramEndpoint
from aioadapt._kernel.op cimport Op
from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.hooks cimport FlushHook
from aioadapt._stream.endpoint cimport Driver
from aioadapt._stream.epoll_driver cimport EpollCore
from aioadapt._stream.uring_core cimport UringCore


cdef class DatagramWatch(Watch):
    cdef EpollDatagramDriver driver


cdef class EpollDatagramDriver(Driver):
    cdef:
        EpollCore loop
        DatagramEndpoint endpoint    # None when there is nobody to report to
        DatagramWatch watch

    cdef int update_interest(self) except -1


@cython.no_gc_clear
cdef class DatagramPoll(Op):
    cdef:
        UringDatagramDriver driver
        bint is_for_room


cdef class UringDatagramDriver(Driver):
    cdef:
        UringCore loop
        DatagramEndpoint endpoint    # None when there is nobody to report to
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

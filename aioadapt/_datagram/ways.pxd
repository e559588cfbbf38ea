cimport cython
from libc.stdint cimport uint32_t

from aioadapt._datagram.endpoint cimport DatagramEndpoint
from aioadapt._kernel.op cimport Op
from aioadapt._kernel.poller cimport Watch
from aioadapt._stream.completion_turn cimport CompletionTurn
from aioadapt._stream.endpoint cimport Way
from aioadapt._stream.readiness cimport ReadinessTurn
from aioadapt._turn.turn cimport EndOfTurn


cdef class DatagramWatch(Watch):
    cdef ReadinessDatagrams way


cdef class ReadinessDatagrams(Way):
    cdef:
        ReadinessTurn turn
        DatagramEndpoint endpoint    # None when there is nobody to report to
        DatagramWatch watch

    cdef int update_interest(self) except -1


@cython.no_gc_clear
cdef class DatagramPoll(Op):
    cdef:
        CompletionDatagrams way
        bint is_for_room


cdef class CompletionDatagrams(Way):
    cdef:
        CompletionTurn turn
        DatagramEndpoint endpoint    # None when there is nobody to report to
        DatagramPoll arrival_op
        DatagramPoll room_op
        bint is_letting_go
        bint room_waits_for_arrivals  # both have completed; the turn has them next

    cdef bint arrivals_are_collected(self) noexcept
    cdef bint wants(self, bint room) noexcept
    cdef int update(self, bint room) except -1
    cdef int completed(self, bint room, int result) except -1
    cdef int let_go_when_idle(self) except -1


cdef class PollAgain(EndOfTurn):
    cdef DatagramPoll op

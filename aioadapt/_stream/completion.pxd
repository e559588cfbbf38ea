from aioadapt._kernel.linux cimport iovec, msghdr
from aioadapt._kernel.op cimport Op
from aioadapt._kernel.ring cimport Ring
from aioadapt._stream.outgoing cimport CHUNKS_A_CALL
from aioadapt._stream.stream cimport Way
from aioadapt._turn.turn cimport EndOfTurn, FdCallbacks, Turn


cdef class CompletionTurn(Turn):
    cdef:
        Ring ring                    # owned; None until the loop first runs
        WakeupOp wakeup_op
        list unbegun                 # operations asked for before there was a ring
        bint is_stranded             # the ring's thread has ended: nothing can be submitted
        int writers                  # streams that had something to send in the last turn
        int writers_now
        unsigned long long cancels_before, overflows_before

    cdef int begin(self, Op op) except -1
    cdef int cancel(self, Op op) except -1
    cdef int submit(self) except -1
    cdef int make_ring(self) except -1
    cdef int in_kernel(self) noexcept
    cdef bint holds_nothing(self) noexcept


cdef class WakeupOp(Op):
    cdef CompletionTurn turn


cdef class RecvOp(Op):
    cdef:
        CompletionWay way
        bint is_multishot


cdef class SendOp(Op):
    cdef:
        CompletionWay way
        list chunks                  # keeps alive what the vectors point at
        iovec vectors[CHUNKS_A_CALL]
        int count
        msghdr message


cdef class CompletionWay(Way):
    cdef:
        CompletionTurn turn
        RecvOp recv                  # None until it first reads
        SendOp send_op
        bint wants_to_read
        bint is_letting_go

    cdef int recv_completed(self, int result, unsigned flags, bint last) except -1
    cdef int send_completed(self, int result) except -1
    cdef int arm(self) except -1
    cdef int begin_send(self) except -1
    cdef int send_directly(self) except -1
    cdef int let_go_when_idle(self) except -1


cdef class Rearm(EndOfTurn):
    cdef CompletionWay way


cdef class PollOp(Op):
    cdef:
        CompletionTurn turn
        FdCallbacks callbacks
        bint is_writer


cdef class RearmPoll(EndOfTurn):
    cdef PollOp op

"""How an endpoint learns that datagrams have come, or that there is room for more.

Over epoll it is one watch, over io_uring a poll for each of the two.  Both
are level-triggered: what one turn leaves in the socket is reported in the
next, after the others.  Letting go is EPOLL_CTL_DEL, or a cancel of each poll
and its last completion: so the port is free once connection_lost was called.

``send`` means: look for room, or do so no more, as ``wants_room`` says.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR
from libc.stdint cimport uint32_t

from aioadapt._datagram.endpoint cimport DatagramEndpoint
from aioadapt._kernel.liburing cimport io_uring_prep_poll_add, io_uring_sqe
from aioadapt._kernel.linux cimport (
    ECANCELED,
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    POLLIN,
    POLLOUT,
)
from aioadapt._kernel.op cimport OP_IDLE, Op
from aioadapt._kernel.poller cimport Watch
from aioadapt._stream.endpoint cimport Endpoint, Way
from aioadapt._turn.turn cimport EndOfTurn

import os


cdef class DatagramWatch(Watch):

    cdef int ready(self, uint32_t events) except -1:
        cdef ReadinessDatagrams way = self.way
        # As asyncio's selector has it: hang-up and error wake both.
        if events & (EPOLLIN | EPOLLHUP | EPOLLERR) and self.interest & EPOLLIN:
            if way.endpoint is not None:
                way.endpoint.readable()
        # A protocol may have ended it meanwhile.
        if events & (EPOLLOUT | EPOLLHUP | EPOLLERR) and self.interest & EPOLLOUT:
            if way.endpoint is not None:
                way.endpoint.writable()
        return 0


cdef class ReadinessDatagrams(Way):

    def __cinit__(self, turn):
        self.turn = turn

    cdef int serve(self, Endpoint endpoint) except -1:
        self.endpoint = <DatagramEndpoint> endpoint
        return 0

    cdef int start_reading(self) except -1:
        return self.update_interest()

    cdef int stop_reading(self) except -1:
        return self.update_interest()

    cdef int send(self, bint at_once) except -1:
        return self.update_interest()

    cdef int update_interest(self) except -1:
        cdef uint32_t interest = 0
        self.turn.check_not_forked()
        if self.endpoint.is_reading:
            interest |= EPOLLIN
        if self.endpoint.wants_room:
            interest |= EPOLLOUT
        if self.watch is None:
            self.watch = DatagramWatch.__new__(DatagramWatch)
            self.watch.fd = self.endpoint.fd
            self.watch.way = self
        return self.turn.poller.watch(self.watch, interest)

    cdef int let_go(self) except -1:
        if self.watch is not None:
            self.turn.check_not_forked()
            self.turn.poller.forget(self.watch)
            self.watch = None
        return 0 if self.endpoint is None else self.endpoint.kernel_let_go()


@cython.no_gc_clear
cdef class DatagramPoll(Op):
    """One shot, begun again when the turn ends that ran it."""

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_poll_add(sqe, self.fd, POLLOUT if self.is_for_room else POLLIN)

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        return self.way.completed(self.is_for_room, result)


cdef class PollAgain(EndOfTurn):

    cdef int turn_ends(self) except -1:
        return self.op.way.update(self.op.is_for_room)


cdef class CompletionDatagrams(Way):

    def __cinit__(self, turn):
        self.turn = turn

    cdef int serve(self, Endpoint endpoint) except -1:
        self.endpoint = <DatagramEndpoint> endpoint
        return 0

    cdef int start_reading(self) except -1:
        return self.update(False)

    cdef int stop_reading(self) except -1:
        return self.update(False)

    cdef int send(self, bint at_once) except -1:
        return self.update(True)

    cdef bint wants(self, bint room) noexcept:
        if self.endpoint is None or self.is_letting_go:
            return False
        return self.endpoint.wants_room if room else self.endpoint.is_reading

    cdef int update(self, bint room) except -1:
        """Have a poll in the kernel exactly where one is wanted."""
        cdef DatagramPoll op = self.room_op if room else self.arrival_op
        if not self.wants(room):
            return 0 if op is None else self.turn.cancel(op)
        if op is None:
            op = DatagramPoll.__new__(DatagramPoll)
            op.way = self
            op.fd = self.endpoint.fd
            op.is_for_room = room
            if room:
                self.room_op = op
            else:
                self.arrival_op = op
        # One that is being cancelled is begun again at its last completion.
        return self.turn.begin(op) if op.state == OP_IDLE else 0

    cdef int completed(self, bint room, int result) except -1:
        cdef PollAgain again
        cdef bint room_is_next = self.room_waits_for_arrivals
        self.room_waits_for_arrivals = False
        if self.is_letting_go:
            return self.let_go_when_idle()
        if not self.wants(room):
            return 0
        if result == -ECANCELED or result == -EINTR or result == -EAGAIN:
            return self.update(room)
        if result < 0:
            # As of a descriptor that somebody else has closed: asking again
            # would have the same answer at once, and for ever.
            return self.endpoint.tell_of(OSError(-result, os.strerror(-result)))
        # Before the protocol runs, which may raise out of the loop.
        again = PollAgain.__new__(PollAgain)
        again.op = self.room_op if room else self.arrival_op
        self.turn.ending.append(again)
        if room:
            if self.arrivals_are_collected():
                self.room_waits_for_arrivals = True
                return 0
            return self.endpoint.writable()
        self.endpoint.readable()
        return self.endpoint.writable() if room_is_next and self.wants(True) else 0

    cdef bint arrivals_are_collected(self) noexcept:
        """Will this turn deliver what has arrived?  As over epoll that is told of first."""
        return (self.arrival_op is not None and self.arrival_op.last_is_collected
                and self.arrival_op.state != OP_IDLE)

    cdef bint is_in_kernel(self) noexcept:
        return (
            self.arrival_op is not None and self.arrival_op.state != OP_IDLE
            and not self.arrival_op.last_is_collected
            or self.room_op is not None and self.room_op.state != OP_IDLE
            and not self.room_op.last_is_collected)

    cdef int let_go(self) except -1:
        self.is_letting_go = True
        if self.arrival_op is not None:
            self.turn.cancel(self.arrival_op)
        if self.room_op is not None:
            self.turn.cancel(self.room_op)
        return self.let_go_when_idle()

    cdef int let_go_when_idle(self) except -1:
        if not self.is_letting_go:
            return 0
        if self.arrival_op is not None and self.arrival_op.state != OP_IDLE:
            return 0
        if self.room_op is not None and self.room_op.state != OP_IDLE:
            return 0
        self.is_letting_go = False
        # Operations know their way; without them the cycle is gone.
        self.arrival_op = self.room_op = None
        return 0 if self.endpoint is None else self.endpoint.kernel_let_go()

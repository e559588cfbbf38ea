"""The io_uring driver of a datagram endpoint: a poll for arrivals, and one for room.

Both are level-triggered: what one iteration leaves in the socket is reported in the
next, after the other sockets.  Detaching is a cancel of each poll and its last
completion.  So the port is free once connection_lost has been called.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, ENOMEM

from aioadapt._engine.driver cimport Driven, Driver
from aioadapt._kernel.liburing cimport io_uring_prep_poll_add, io_uring_sqe
from aioadapt._kernel.linux cimport ECANCELED, POLLIN, POLLOUT
from aioadapt._kernel.op cimport OP_IDLE, Op, is_idle, kernel_may_use
from aioadapt._loop.hooks cimport FlushHook


@cython.no_gc_clear
cdef class DatagramPoll(Op):
    """A one-shot poll, begun again at the end of the iteration that ran it."""

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_poll_add(sqe, self.fd, POLLOUT if self.is_for_room else POLLIN)

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        return self.driver.completed(self.is_for_room, result)


cdef class PollAgain(FlushHook):

    cdef int flush(self) except -1:
        return self.op.driver.update(self.op.is_for_room)


cdef class UringDatagramDriver(Driver):

    def __cinit__(self, loop):
        self.loop = loop

    cdef int serve(self, Driven endpoint) except -1:
        self.endpoint = endpoint
        return 0

    cdef int start_reading(self) except -1:
        return self.update(False)

    cdef int stop_reading(self, bint may_resume) except -1:
        return self.update(False)

    cdef int update_room(self) except -1:
        return self.update(True)

    cdef bint wants(self, bint room) noexcept:
        if self.endpoint is None or self.is_detaching or self.loop.is_parked:
            return False
        return self.endpoint.wants_room if room else self.endpoint.is_reading

    cdef int update(self, bint room) except -1:
        """Begin or cancel a poll, so that one is in the kernel exactly if it is wanted."""
        cdef DatagramPoll op = self.room_op if room else self.arrival_op
        if not self.wants(room):
            return self.loop.cancel(op)
        if op is None:
            op = DatagramPoll.__new__(DatagramPoll)
            op.driver = self
            op.fd = self.endpoint.fd
            op.is_for_room = room
            if room:
                self.room_op = op
            else:
                self.arrival_op = op
        # One that is being cancelled is begun again at its last completion.
        return self.loop.begin(op) if op.state == OP_IDLE else 0

    cdef int park(self) except -1:
        self.update(False)
        return self.update(True)

    cdef int unpark(self) except -1:
        self.update(False)
        return self.update(True)

    cdef int completed(self, bint room, int result) except -1:
        cdef PollAgain again
        cdef bint room_is_next = self.room_waits_for_arrivals
        self.room_waits_for_arrivals = False
        if self.is_detaching:
            return self.detach_when_idle()
        if not self.wants(room):
            return 0
        if result == -ECANCELED or result == -EINTR or result == -EAGAIN \
                or result == -ENOMEM:
            return self.update(room)
        if result < 0:
            # For instance if somebody else has closed the descriptor.  Another
            # poll would get the same answer at once, and so forever.
            return self.endpoint.poll_failed(-result)
        # Queued before the protocol runs, since that may raise out of the loop.
        again = PollAgain.__new__(PollAgain)
        again.op = self.room_op if room else self.arrival_op
        self.loop.end_queue.add(again)
        if room:
            if self.arrivals_are_reaped():
                self.room_waits_for_arrivals = True
                return 0
            return self.endpoint.writable()
        self.endpoint.readable()
        return self.endpoint.writable() if room_is_next and self.wants(True) else 0

    cdef bint arrivals_are_reaped(self) noexcept:
        """True if arrivals follow in this iteration; they come before room, as over epoll."""
        return not is_idle(self.arrival_op) and self.arrival_op.last_is_reaped

    cdef bint is_in_kernel(self) noexcept:
        return kernel_may_use(self.arrival_op) or kernel_may_use(self.room_op)

    cdef int detach(self) except -1:
        self.is_detaching = True
        self.loop.cancel(self.arrival_op)
        self.loop.cancel(self.room_op)
        return self.detach_when_idle()

    cdef int detach_when_idle(self) except -1:
        if not (self.is_detaching and is_idle(self.arrival_op) and is_idle(self.room_op)):
            return 0
        self.is_detaching = False
        # Operations refer to their driver; dropping them breaks the reference cycle.
        self.arrival_op = self.room_op = None
        return 0 if self.endpoint is None else self.endpoint.on_detached()

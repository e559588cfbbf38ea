"""The engine part of a loop on io_uring.

A ring belongs to the thread that runs it, so it is created when the loop first runs.
A loop that stops running is *parked*: it takes back from the ring what is there for its
connections, so that any thread may run it next, or close it.  What arrives meanwhile is
held, and no protocol is called.  When the loop runs again, its drivers begin anew.
"""

from aioadapt._engine.driver cimport Driven
from aioadapt._kernel.liburing cimport (
    io_uring_prep_poll_add,
    io_uring_prep_poll_multishot,
    io_uring_sqe,
)
from aioadapt._kernel.linux cimport POLLIN
from aioadapt._kernel.op cimport OP_IDLE, Op
from aioadapt._kernel.ring cimport Ring
from aioadapt._loop.fd_callbacks cimport FdCore

import threading


cdef class UringCore(FdCore):

    def __cinit__(self, *args, **kwargs):
        self.make_polls()

    cdef int make_polls(self) except -1:
        self.wakeup_op = WakeupOp.__new__(WakeupOp)
        self.wakeup_op.fd = self.inbox.wakeup.fd
        self.poller_op = PollerOp.__new__(PollerOp)
        self.poller_op.fd = self.poller.epoll_fd
        return 0

    cdef int engine_starts(self) except -1:
        """Create the ring, or create it anew when the loop runs on another thread."""
        self.leave_ring_of_another_thread()
        if self.ring is None:
            self.make_ring()
        return self.unpark_all()

    cdef int make_ring(self) except -1:
        cdef Ring ring = Ring()
        ring.enable()
        self.ring = ring
        return 0

    cdef int leave_ring_of_another_thread(self) except -1:
        if self.ring is not None and self.ring.thread_id != threading.get_native_id():
            self.ring.close_without_entering()
            self.forget_ring()
        return 0

    cdef int forget_ring(self) except -1:
        """It is closed; what it has counted stays."""
        self.enters_before += self.ring.enters
        self.cancels_before += self.ring.cancels
        self.overflows_before += self.ring.overflows
        self.ring = None
        return self.make_polls()

    cdef int unpark_all(self) except -1:
        for endpoint in self.endpoints():
            (<Driven> endpoint).unpark()
        return 0

    cdef int ring_serves_nothing(self) except -1:
        """The last stream has left it, or ended."""
        return 0

    cdef int engine_pauses(self) except -1:
        if self.ring is not None and not self._is_forked_copy():
            self.park()
        return 0

    cdef int park(self) except -1:
        """Cancel what the kernel holds for connections, and reap the end of all of it."""
        cdef Ring ring = self.ring
        cdef object interrupt = None
        for endpoint in self.endpoints():
            (<Driven> endpoint).driver.park()
        while self.in_kernel() > 0 or ring.cancels_in_flight or ring.has_completions():
            try:
                if not ring.has_completions():
                    ring.wait(-1, 0)
                while ring.dispatch_next():
                    pass
            except KeyboardInterrupt as exc:
                interrupt = exc
        assert self.in_kernel() == 0 and ring.cancelling == 0, ring
        if interrupt is not None:
            raise interrupt
        return 0

    def endpoints(self):
        """Of streams and of datagrams; the list may change while one is looked at."""
        return [*self.streams_by_fd.values(), *self.datagrams_by_fd.values()]

    cdef int in_kernel(self) noexcept:
        """Without the loop's own polls, which write into none of our memory."""
        return (self.ring.in_kernel - (self.wakeup_op.state != OP_IDLE)
                - (self.poller_op.state != OP_IDLE))

    cdef int reap(self, long long timeout_ns, int at_most) except -1:
        if self.wakeup_op.state == OP_IDLE:
            self.ring.begin(self.wakeup_op)      # a queue overflow ends it
        return self.wait_on_ring(timeout_ns, at_most)

    cdef bint dispatch_next(self) except -1:
        return self.poller.dispatch_next() or self.ring.dispatch_next()

    cdef int submit_new(self) except -1:
        return self.ring.submit_now()

    cdef int finish_cancels(self) except -1:
        cdef int cancelled = self.ring.cancelled_first()
        while cancelled:
            cancelled -= 1
            self.ring.dispatch_next()
            if self.flush_queue.first is not None:
                self.flush_queue.run()
        return 0

    cdef bint has_reaped(self) noexcept:
        return self.poller.has_reports() or self.ring.has_completions()

    cdef int begin(self, Op op) except -1:
        self.check_not_forked()
        return self.ring.begin(op)

    cdef int cancel(self, Op op) except -1:
        if op is None:
            return 0
        self.check_not_forked()
        return 0 if op.state == OP_IDLE else self.ring.cancel(op)

    cdef int submit(self) except -1:
        self.check_not_forked()
        return 0 if self.is_parked else self.ring.submit_now()

    def _submit(self):
        self.submit()

    def _engine_counts(self):
        cdef Ring ring = self.ring
        if ring is None:
            return {
                "waits": self.enters_before,
                "in_kernel": 0,
                "cancels": self.cancels_before,
                "cq_overflows": self.overflows_before,
            }
        return {
            "waits": self.enters_before + ring.enters,
            "in_kernel": self.in_kernel(),
            "cancels": self.cancels_before + ring.cancels,
            "cq_overflows": self.overflows_before + ring.overflows,
        }

    def _check_can_close(self):
        pass                 # it is parked: any thread may close it

    def _close_engine(self):
        cdef Ring ring = self.ring
        if ring is not None and ring.thread_id != threading.get_native_id():
            ring.close_without_entering()
        elif ring is not None:
            self.close_ring()
        self.ring = None
        self.poller.close()

    cdef int close_ring(self) except -1:
        """Cancel all that it holds, and wait for the end of it."""
        cdef Ring ring = self.ring
        ring.cancel(self.wakeup_op)
        ring.cancel(self.poller_op)
        self.park()
        while ring.in_kernel:
            ring.wait(-1, 0)
            while ring.dispatch_next():
                pass
        ring.close()
        return 0

    def _close_engine_in_child(self):
        self.poller.close()
        if self.ring is not None:
            self.ring.close_in_child()


cdef class WakeupOp(Op):
    """A multishot poll of the eventfd, until the loop closes.

    It has no reference to the loop: the kernel keeps it alive, and would keep alive
    a loop that was never closed.
    """

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_poll_multishot(sqe, self.fd, POLLIN)


cdef class PollerOp(Op):
    """A one-shot poll of the epoll descriptor, begun again before the loop waits.

    So it is level-triggered, as epoll is.  It has no reference to the loop either: a
    closed loop is freed as soon as its last reference goes.  The loop asks the epoll
    when it finds the completion.
    """

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_poll_add(sqe, self.fd, POLLIN)

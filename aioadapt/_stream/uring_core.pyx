"""The engine part of a loop on io_uring.

A ring belongs to the thread that runs it, so it is created when the loop first
runs.  Operations begun before that are deferred until then.
"""

cimport cython

from aioadapt._kernel.liburing cimport (
    io_uring_prep_poll_add,
    io_uring_prep_poll_multishot,
    io_uring_sqe,
)
from aioadapt._kernel.linux cimport ECANCELED, POLLIN
from aioadapt._kernel.op cimport OP_IDLE, Op
from aioadapt._kernel.ring cimport Ring
from aioadapt._loop.fd_callbacks cimport FdCore

import os
import threading
from time import monotonic, sleep

from aioadapt.errors import WrongThreadError

# A guess, long enough: the thread only has its stack to free.
cdef double THREAD_ENDS_WITHIN_S = 1.0


cdef class UringCore(FdCore):

    def __cinit__(self, *args, **kwargs):
        self.deferred_ops = []
        self.make_polls()

    cdef int make_polls(self) except -1:
        self.wakeup_op = WakeupOp.__new__(WakeupOp)
        self.wakeup_op.fd = self.inbox.wakeup.fd
        self.poller_op = PollerOp.__new__(PollerOp)
        self.poller_op.fd = self.poller.epoll_fd
        self.poller_op.poller = self.poller
        return 0

    cdef int make_ring(self) except -1:
        self.ring = Ring()
        self.ring.enable()
        self.begin(self.wakeup_op)
        deferred_ops, self.deferred_ops = self.deferred_ops, []
        for op in deferred_ops:
            self.ring.begin(<Op> op)
        return 0

    cdef int engine_starts(self) except -1:
        """Create the ring, or create it anew when the loop runs on another thread."""
        if self.ring is None:
            return self.make_ring()
        if self.ring.thread_id == threading.get_native_id():
            return 0
        if not self.holds_nothing():
            raise WrongThreadError(
                f"{self!r} ran on thread {self.ring.thread_id}, where its io_uring still "
                f"holds {self.in_kernel()} operations for open connections, listeners or "
                "datagram endpoints. Run it on that thread, or close them before running "
                "it on another one")
        self.cancels_before += self.ring.cancels
        self.overflows_before += self.ring.overflows
        self.ring.close_without_entering()
        self.make_polls()
        self.ring = None
        return self.make_ring()

    cdef int in_kernel(self) noexcept:
        """Without the loop's own polls, which write into none of our memory."""
        return (self.ring.in_kernel - (self.wakeup_op.state != OP_IDLE)
                - (self.poller_op.state != OP_IDLE))

    cdef bint holds_nothing(self) noexcept:
        return (self.in_kernel() <= 0
                and self.ring.cancels_in_flight == 0 and not self.ring.has_completions())

    cdef int engine_pauses(self) except -1:
        # A cancel from the last iteration must not wait until the loop runs again.
        # Neither must the peer of a connection closed in it: asyncio would have
        # closed the descriptor by now.
        if not self._is_forked_copy():
            self.submit()
            if self.ring.cancelling:
                self.finish_cancels()
        return 0

    cdef int reap(self, long long timeout_ns, int at_most) except -1:
        self.writers, self.writers_now = self.writers_now, 0
        if self.wakeup_op.state == OP_IDLE:
            self.ring.begin(self.wakeup_op)      # a queue overflow ends it
        if self.poller_op.state == OP_IDLE and self.poller.watches:
            self.ring.begin(self.poller_op)
        return self.ring.wait(timeout_ns, at_most)

    cdef bint dispatch_next(self) except -1:
        return self.poller.dispatch_next() or self.ring.dispatch_next()

    cdef int submit_new(self) except -1:
        self.writers, self.writers_now = self.writers_now, 0
        return self.ring.submit_now()

    cdef int finish_cancels(self) except -1:
        return self.ring.finish_cancels()

    cdef bint has_reaped(self) noexcept:
        return self.poller.has_reports() or self.ring.has_completions()

    cdef int begin(self, Op op) except -1:
        self.check_not_forked()
        if self.ring is None or self.is_stranded:
            self.deferred_ops.append(op)
            return 0
        return self.ring.begin(op)

    cdef int cancel(self, Op op) except -1:
        self.check_not_forked()
        if self.is_stranded:
            return 0             # closing the ring cancels everything
        if self.ring is None:
            if op in self.deferred_ops:
                self.deferred_ops.remove(op)
                op.completed(-ECANCELED, 0, True)
            return 0
        return self.ring.cancel(op)

    cdef int submit(self) except -1:
        self.check_not_forked()
        if self.ring is not None and self.ring.thread_id == threading.get_native_id():
            self.ring.submit_now()
        return 0

    def _submit(self):
        self.submit()

    def _engine_counts(self):
        cdef Ring ring = self.ring
        if ring is None:
            return {"waits": 0, "in_kernel": 0}
        return {
            "waits": ring.enters,
            "in_kernel": self.in_kernel(),
            "cancels": self.cancels_before + ring.cancels,
            "cq_overflows": self.overflows_before + ring.overflows,
        }

    def _check_can_close(self):
        """Another thread's ring can be closed if it holds nothing or the thread has ended."""
        cdef Ring ring = self.ring
        if ring is None or ring.thread_id == threading.get_native_id():
            return
        self.is_stranded = self.holds_nothing() or has_ended(ring.thread_id)
        if not self.is_stranded:
            raise WrongThreadError(
                f"{self!r} ran on thread {ring.thread_id}, where its io_uring still "
                f"holds {self.in_kernel()} operations. Close it on that thread, or after "
                "that thread has ended")

    def _close_engine(self):
        """Cancel what the kernel holds, wait until it holds nothing, close the ring."""
        cdef Ring ring = self.ring
        if ring is not None and self.is_stranded:
            # Completions on the ring can be read from any thread; they may hold
            # accepted descriptors.
            while ring.has_completions() or ring.reap(0):
                while ring.dispatch_next():
                    pass
            ring.close_without_entering()
        elif ring is not None:
            ring.cancel(self.wakeup_op)
            ring.cancel(self.poller_op)
            while ring.in_kernel or ring.cancels_in_flight or ring.has_completions():
                if not ring.has_completions():
                    ring.wait(-1, 0)
                while ring.dispatch_next():
                    pass
            ring.close()
        self.deferred_ops.clear()
        self.ring = None
        self.poller.close()

    def _close_engine_in_child(self):
        self.poller.close()
        if self.ring is not None:
            self.ring.close_in_child()


cdef bint has_ended(int thread_id) except -1:
    """Has this thread ended, for the kernel too?

    Before Python 3.13, join() may return just before the thread has ended.
    """
    if thread_id in [thread.native_id for thread in threading.enumerate()]:
        return False
    give_up_at_s = monotonic() + THREAD_ENDS_WITHIN_S
    while os.path.exists(f"/proc/self/task/{thread_id}"):
        if monotonic() > give_up_at_s:
            return False
        sleep(0.0001)
    return True


cdef class WakeupOp(Op):
    """A multishot poll of the eventfd, until the loop closes.

    It has no reference to the loop: the kernel keeps it alive, and would keep alive
    a loop that was never closed.
    """

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_poll_multishot(sqe, self.fd, POLLIN)


@cython.no_gc_clear
cdef class PollerOp(Op):
    """A one-shot poll of the epoll descriptor, begun again before the loop waits.

    So it is level-triggered, as epoll is.  It has no reference to the loop either: a
    closed loop is freed as soon as its last reference goes.
    """

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_poll_add(sqe, self.fd, POLLIN)

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        if result >= 0:
            self.poller.wait(0, 0)
        return 0

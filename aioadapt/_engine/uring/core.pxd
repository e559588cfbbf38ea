cimport cython

from aioadapt._kernel.op cimport OP_IDLE, Op
from aioadapt._kernel.ring cimport Ring
from aioadapt._loop.fd_callbacks cimport FdCore


cdef class WakeupOp(Op):
    pass


cdef class PollerOp(Op):
    pass


cdef class UringCore(FdCore):
    cdef:
        Ring ring                    # owned; None until the loop first runs
        WakeupOp wakeup_op
        PollerOp poller_op           # the epoll that watches descriptors
        unsigned long long enters_before, cancels_before, overflows_before
        int served_on_ring           # streams whose driver is of this engine

    cdef int begin(self, Op op) except -1
    cdef int cancel(self, Op op) except -1
    cdef int submit(self) except -1
    cdef int park(self) except -1
    cdef int ring_serves_nothing(self) except -1
    cdef int make_ring(self) except -1
    cdef int leave_ring_of_another_thread(self) except -1
    cdef int forget_ring(self) except -1
    cdef int close_ring(self) except -1
    cdef int unpark_all(self) except -1
    cdef int make_polls(self) except -1
    cdef int in_kernel(self) noexcept

    @cython.final
    cdef inline int wait_on_ring(self, long long timeout_ns, int at_most) except -1:
        """Sleep in the ring, which polls the epoll."""
        if self.poller_op.state == OP_IDLE and self.poller.watch_count:
            self.ring.begin(self.poller_op)
        self.ring.wait(timeout_ns, at_most)
        if self.poller_op.last_is_reaped and self.poller_op.state != OP_IDLE:
            # Now, before anything runs: a reader that a callback adds has to wait.
            self.poller.wait(0, 0)
        return 0

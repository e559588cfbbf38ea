"""A ring and a poller driven by hand, one step at a time.

For tests, and for looking at what a kernel does.  There is no logic here:
each method is one method of Ring or Poller, and each operation records the
completions that it gets.  What a loop does in one go is split into steps, so
that a race happens exactly where the test wants it:

    ring.begin(op)      the operation is queued
    ring.enter()        it is submitted; its completion may be on the ring now
    ring.reap()         the completion is off the ring; nothing has run yet
    ring.dispatch()     the operation gets its completion
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint32_t

from aioadapt._kernel.liburing cimport (
    IORING_CQE_BUFFER_SHIFT,
    IORING_CQE_F_BUFFER,
    IOSQE_BUFFER_SELECT,
    enter,
    io_uring_prep_poll_add,
    io_uring_prep_recv,
    io_uring_prep_recv_multishot,
    io_uring_prep_send,
    io_uring_sqe,
)
from aioadapt._kernel.linux cimport EPOLLIN, EPOLLOUT, MSG_NOSIGNAL
from aioadapt._kernel.op cimport OP_IDLE, Op
from aioadapt._kernel.poller cimport Poller, Watch
from aioadapt._kernel.ring cimport Ring

from typing import NamedTuple

READABLE = EPOLLIN
WRITABLE = EPOLLOUT


class Completion(NamedTuple):
    """One completion of an operation."""

    result: int          # a count, or a negative errno
    last: bool           # no MORE flag: the operation is idle again
    data: bytes = b""    # the bytes of a receive


cdef class StepOp(Op):
    """An operation that records its completions, and may call a function for each."""

    cdef:
        readonly list completions
        public object on_completed   # called with (op, Completion), or None
        object __weakref__

    def __cinit__(self, int fd, *args, **kwargs):
        self.fd = fd
        self.completions = []

    @property
    def is_idle(self):
        return self.state == OP_IDLE

    @property
    def received(self):
        """All bytes received so far, in order."""
        return b"".join([completion.data for completion in self.completions])

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        return self.note(result, last, b"")

    cdef int note(self, int result, bint last, bytes data) except -1:
        completion = Completion(result, last, data)
        self.completions.append(completion)
        if self.on_completed is not None:
            self.on_completed(self, completion)
        return 0


cdef class RecvInto(StepOp):
    """One recv into the operation's own memory."""

    cdef:
        char *memory                 # owned; the kernel writes it while not idle
        readonly int size_bytes

    def __cinit__(self, int fd, int size_bytes):
        self.size_bytes = size_bytes
        self.memory = <char *> PyMem_Malloc(size_bytes)
        if self.memory == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.memory)

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_recv(sqe, self.fd, self.memory, self.size_bytes, 0)

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        return self.note(result, last, PyBytes_FromStringAndSize(self.memory, max(result, 0)))


cdef class RecvMultishot(StepOp):
    """A multishot recv into the ring's buffers, which are given back at once."""

    cdef StepRing step_ring

    def __cinit__(self, int fd, StepRing step_ring):
        self.step_ring = step_ring

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_recv_multishot(sqe, self.fd, NULL, 0, 0)
        sqe.flags = IOSQE_BUFFER_SELECT
        sqe.buf_group = 0

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        cdef unsigned number
        cdef bytes data = b""
        if flags & IORING_CQE_F_BUFFER:
            number = flags >> IORING_CQE_BUFFER_SHIFT
            data = PyBytes_FromStringAndSize(
                self.step_ring.ring.buffers.at(number), max(result, 0))
            self.step_ring.ring.buffers.give_back(number)
        return self.note(result, last, data)


cdef class PollOnce(StepOp):
    """A one-shot poll for readability."""

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_poll_add(sqe, self.fd, EPOLLIN)


cdef class SendBytes(StepOp):
    """One send."""

    cdef bytes data                  # owned; the kernel reads it while not idle

    def __cinit__(self, int fd, bytes data):
        self.data = data

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_send(sqe, self.fd, <char *> self.data, len(self.data), MSG_NOSIGNAL)


cdef class StepRing:
    """A Ring, enabled on the thread that creates it unless that is left to the test."""

    cdef Ring ring                   # owned

    def __cinit__(self, *, enable=True):
        self.ring = Ring()
        if enable:
            self.ring.enable()

    def enable(self):
        self.ring.enable()

    def __repr__(self):
        return f"<StepRing of {self.ring!r}>"

    def begin(self, StepOp op not None):
        self.ring.begin(op)

    def cancel(self, StepOp op not None):
        self.ring.cancel(op)

    def cancel_answered(self, StepOp op not None, int result):
        """Go on as if the kernel had answered a cancel so.

        It says EALREADY while it works on the operation, which no test can arrange.
        """
        self.ring.cancel_answered(op, result)

    def enter(self, timeout_s=0):
        """Submit and wait for a completion (None: forever), but leave it on the ring."""
        cdef int result
        cdef long long timeout_ns = in_ns(timeout_s)
        if self.ring.backlog:
            self.ring.queue_backlog()
        with nogil:
            result = enter(&self.ring.ring, timeout_ns)
        self.ring.check_entered(result)

    def reap(self, int at_most=0):
        """Take completions off the ring; returns how many.  Earlier ones must have run."""
        if self.ring.has_completions():
            raise RuntimeError("dispatch the earlier completions first")
        return self.ring.reap(at_most)

    def wait(self, timeout_s=0, int at_most=0):
        """Enter and reap, as a loop does; returns the number of completions."""
        if self.ring.has_completions():
            raise RuntimeError("dispatch the earlier completions first")
        return self.ring.wait(in_ns(timeout_s), at_most)

    def dispatch(self):
        """Run all reaped completions; returns how many."""
        n = 0
        while self.ring.dispatch_next():
            n += 1
        return n

    def dispatch_next(self):
        return self.ring.dispatch_next()

    def finish_cancels(self):
        for _ in range(self.ring.cancelled_first()):
            self.ring.dispatch_next()

    def close(self):
        self.ring.close()

    @property
    def in_kernel(self):
        return self.ring.in_kernel

    @property
    def cancels_in_flight(self):
        return self.ring.cancels_in_flight

    @property
    def cancelling(self):
        return self.ring.cancelling

    @property
    def overflows(self):
        return self.ring.overflows

    @property
    def cancels(self):
        return self.ring.cancels

    @property
    def setup_flags(self):
        return self.ring.setup_flags

    @property
    def buffers(self):
        """The number of its receive buffers."""
        return self.ring.buffers.count


cdef class StepWatch(Watch):
    """A watch that records its reports, and may call a function for each."""

    cdef:
        readonly list reports        # of events
        public object on_ready       # called with (watch, events), or None
        object __weakref__

    def __cinit__(self, int fd, on_ready=None):
        self.fd = fd
        self.reports = []
        self.on_ready = on_ready

    cdef int ready(self, uint32_t events) except -1:
        self.reports.append(events)
        if self.on_ready is not None:
            self.on_ready(self, events)
        return 0


cdef class StepPoller:
    """A Poller whose steps are called one by one."""

    cdef Poller poller               # owned

    def __cinit__(self):
        self.poller = Poller()

    def watch(self, StepWatch watch not None, uint32_t interest):
        self.poller.watch(watch, interest)

    def unregister(self, StepWatch watch not None):
        self.poller.unregister(watch)

    def wait(self, timeout_s=0, int at_most=0):
        """Reap what is ready; returns how many.  Nothing runs yet."""
        if self.poller.has_reports():
            raise RuntimeError("dispatch the earlier reports first")
        return self.poller.wait(in_ns(timeout_s), at_most)

    def dispatch(self):
        """Run all reaped reports."""
        while self.poller.dispatch_next():
            pass

    def dispatch_next(self):
        return self.poller.dispatch_next()

    def close(self):
        self.poller.close()

    @property
    def watched(self):
        """The number of registered watches, those with the secondary poller included."""
        cdef Poller secondary = self.poller.secondary
        if secondary is None:
            return self.poller.watch_count
        return self.poller.watch_count - 1 + secondary.watch_count


cdef long long in_ns(object timeout_s) except -2:
    return -1 if timeout_s is None else <long long> (timeout_s * 1e9)

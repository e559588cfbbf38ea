"""Completion: one io_uring on one thread.

What a ring is.  We write submissions into one queue, and the kernel writes
completions into another.  One system call per iteration hands over the
submissions and waits for completions.  With DEFER_TASKRUN the kernel does the
work that completes an operation only inside that call, so nothing happens
behind the thread's back.  SINGLE_ISSUER binds the ring to the thread that
enables it; on any other thread the kernel answers EEXIST.

What is counted.  ``in_kernel`` is the number of operations that have begun and
whose last completion has not been reaped.  A ring may be closed only when it is
zero: until then the kernel may write into the operations' memory.

What a cancel is.  A request.  Its own completion says at most that it came too
late or that it found nothing.  "Not found" may mean that the operation's last
completion comes right after it or, on some kernels (liburing issue 1375), that
the search missed the operation.  So a cancel that found nothing is submitted
again.  Only the operation's own last completion counts.

Completions are reaped first and run afterwards.  A callback that cancels an
operation whose completion comes later in the same batch meets an ordinary
finished operation.  If a callback raises out of the loop (KeyboardInterrupt),
the rest of the batch is run when the loop runs again.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, EALREADY, EBUSY, EEXIST, EINTR
from libc.errno cimport ENOENT, ETIME
from libc.string cimport memcpy, memmove
from posix.unistd cimport close as close_fd

from aioadapt._kernel.collector cimport PyTypeObject, traverseproc, visitproc
from aioadapt._kernel.forks cimport forks
from aioadapt._kernel.liburing cimport (
    Completion,
    IORING_CQE_F_BUFFER,
    IORING_CQE_F_MORE,
    reap_into,
    enter,
    io_uring_enable_rings,
    io_uring_get_sqe,
    io_uring_prep_cancel64,
    io_uring_queue_exit,
    io_uring_ring_dontfork,
    io_uring_sqe,
    overflowed,
)
from aioadapt._kernel.linux cimport ECANCELED
from aioadapt._kernel.op cimport OP_CANCELLING, OP_IDLE, OP_IN_KERNEL, Op
from aioadapt._kernel.receive_buffers cimport ReceiveBuffers
from aioadapt._kernel.ring_setup cimport COMPLETIONS, set_up

import os
import threading

from aioadapt._kernel.refusal import explain, look_around
from aioadapt.errors import WrongThreadError

cdef enum:
    # Times 20 pieces of deferred work: more than a busy iteration leaves waiting.
    ENTERS_TO_FINISH_CANCELS = 64
    CANCELS_AT_MOST = 8      # a guess; one has always been enough here
    IS_CANCEL = 1            # an op's address is even; a cancel's user_data is odd


@cython.no_gc_clear
cdef class Ring:

    def __cinit__(self):
        self.backlog = []
        self.fork_generation = forks
        self.batch = <Completion *> PyMem_Malloc(COMPLETIONS * sizeof(Completion))
        self.others = <Completion *> PyMem_Malloc(COMPLETIONS * sizeof(Completion))
        if self.batch == NULL or self.others == NULL:
            raise MemoryError

    def __init__(self):
        """Create a ring; ``enable`` binds it to a thread.

        Raises:
            UringUnavailableError: with the kernel's errno.
        """
        self.setup_flags = set_up(&self.ring)
        self.is_open = True
        io_uring_ring_dontfork(&self.ring)
        try:
            self.buffers = ReceiveBuffers.register(&self.ring)
        except OSError as error:
            step = "register receive buffers with an io_uring"
            raise explain(error.errno, step, look_around()).error() from error

    def __dealloc__(self):
        if forks != self.fork_generation:
            self.close_in_child()
        # Operations are in the kernel here only if the owner did not close the
        # ring.  Each holds a reference to itself, so they outlive the ring, and
        # so must the buffers, which the kernel may still write into.
        if self.is_open and self.in_kernel and self.buffers is not None:
            Py_INCREF(self.buffers)
            self.buffers.registered = False
        if self.is_open:
            io_uring_queue_exit(&self.ring)
        PyMem_Free(self.batch)
        PyMem_Free(self.others)

    def __repr__(self):
        return (f"<Ring {'open' if self.is_open else 'closed'}, "
                f"{self.in_kernel} operations in the kernel>")

    cdef int enable(self) except -1:
        """Bind the ring to this thread."""
        cdef int result
        self.thread_id = threading.get_native_id()
        if not self.enabled:
            result = io_uring_enable_rings(&self.ring)
            if result < 0:
                raise OSError(-result, f"cannot enable the io_uring: {os.strerror(-result)}")
            self.enabled = True
        return 0

    # -- submission -----------------------------------------------------------

    cdef int begin(self, Op op) except -1:
        """Submit an idle operation, at the next enter at the latest."""
        if op.state != OP_IDLE:
            raise RuntimeError(f"cannot begin {op!r}: the kernel still holds it")
        self.began(op)
        self.in_kernel += 1
        self.queue(op, False)
        return 0

    cdef void began(self, Op op) noexcept:
        op.begin()
        op.older, op.newer = self.newest, NULL
        if self.newest != NULL:
            (<Op> self.newest).newer = <PyObject *> op
        self.newest = <PyObject *> op

    cdef void finished(self, Op op) noexcept:
        if op.newer != NULL:
            (<Op> op.newer).older = op.older
        else:
            self.newest = op.older
        if op.older != NULL:
            (<Op> op.older).newer = op.newer
        op.older = op.newer = NULL
        op.finish()

    cdef int cancel(self, Op op) except -1:
        """Request an early end; the operation still has its last completion to come."""
        if op.state == OP_IN_KERNEL:
            op.state = OP_CANCELLING
            if not op.last_is_reaped:
                self.cancels += 1
                self.cancelling += 1
                self.queue(op, True)
        return 0

    cdef int queue(self, Op op, bint is_cancel) except -1:
        cdef io_uring_sqe *sqe = NULL
        if is_cancel:
            Py_INCREF(op)             # until the cancel's own completion
            op.cancels_in_flight += 1
            self.cancels_in_flight += 1
        if not self.backlog:
            sqe = io_uring_get_sqe(&self.ring)
        if sqe != NULL:
            prepare(sqe, op, is_cancel)
            return 0
        # Before it submits: a signal handler may raise there.
        self.backlog.append((op, is_cancel))
        if self.enabled and len(self.backlog) == 1:
            self.submit_now()
            self.queue_backlog()
        return 0

    cdef int queue_backlog(self) except -1:
        cdef io_uring_sqe *sqe
        cdef int done = 0
        for op, is_cancel in self.backlog:
            sqe = io_uring_get_sqe(&self.ring)
            if sqe == NULL:
                break
            prepare(sqe, <Op> op, is_cancel)
            done += 1
        del self.backlog[:done]
        return 0

    cdef int submit_now(self) except -1:
        """Submit what is queued, so that cancels take effect, and reap nothing."""
        if not self.is_open:
            return 0
        if self.backlog:
            self.queue_backlog()
        return self.check_entered(enter(&self.ring, 0))

    cdef int check_entered(self, int result) except -1:
        if result >= 0:
            self.submitted += result
            return 0
        if result in (-ETIME, -EAGAIN, -EBUSY):
            # Timed out; or the kernel wants completions to be reaped first,
            # which the caller is about to do.
            return 0
        if result == -EINTR:
            PyErr_CheckSignals()
            return 0
        if result == -EEXIST:
            raise WrongThreadError(
                f"this io_uring is bound to thread {self.thread_id} and cannot be "
                f"entered from thread {threading.get_native_id()}")
        raise OSError(-result, f"io_uring_enter: {os.strerror(-result)}")

    # -- completion -----------------------------------------------------------

    cdef int wait(self, long long timeout_ns, int at_most) except -1:
        """Submit, wait (-1: forever; 0: not at all) and reap.  Nothing runs yet."""
        cdef int result
        if self.backlog:
            self.queue_backlog()
            if self.backlog:
                timeout_ns = 0
        with nogil:
            result = enter(&self.ring, timeout_ns)
        self.enters += 1
        self.check_entered(result)
        if timeout_ns != 0:
            # A call that was interrupted after it had submitted something does
            # not report the interruption.
            PyErr_CheckSignals()
        return self.reap(at_most)

    cdef int reap(self, int at_most) except -1:
        """Copy completions out of the ring, after those that have not run yet."""
        cdef Completion *completion
        cdef int i, first
        cdef int room
        if self.next_completion:
            # Move those that have not run yet to the front: the batch may stay
            # non-empty for many iterations and must not run out of room.
            self.last_completion -= self.next_completion
            memmove(self.batch, self.batch + self.next_completion,
                    self.last_completion * sizeof(Completion))
            self.next_completion = 0
        first = self.last_completion
        room = COMPLETIONS - first
        if 0 < at_most < room:
            room = at_most
        if overflowed(&self.ring):
            self.overflows += 1
        self.last_completion += reap_into(&self.ring, self.batch + first, room)
        for i in range(first, self.last_completion):
            completion = self.batch + i
            if completion.flags & IORING_CQE_F_BUFFER:
                self.buffers.taken += 1
            if not (completion.flags & IORING_CQE_F_MORE):
                if <size_t> completion.op & IS_CANCEL:
                    self.cancels_in_flight -= 1
                else:
                    self.in_kernel -= 1
                    (<Op> completion.op).last_is_reaped = True
                    if (<Op> completion.op).state == OP_CANCELLING:
                        self.cancelling -= 1
        assert self.in_kernel >= 0 and self.cancels_in_flight >= 0 <= self.cancelling, self
        return self.last_completion - first

    cdef bint has_completions(self) noexcept:
        """True if some are left, as after a callback has raised out of the loop."""
        return self.next_completion < self.last_completion

    cdef bint dispatch_next(self) except -1:
        """Run one completion; False when none is left."""
        if self.next_completion >= self.last_completion:
            return False
        self.next_completion += 1
        self.run(self.batch[self.next_completion - 1])
        return True

    cdef bint take_next(self, Op op, Completion *taken) noexcept:
        """Take the operation's next completion out of the batch, ahead of its turn.

        As if it had run: after its last one the operation is idle.
        """
        cdef int i
        for i in range(self.next_completion, self.last_completion):
            if self.batch[i].op == <void *> op:
                taken[0] = self.batch[i]
                self.last_completion -= 1
                memmove(self.batch + i, self.batch + i + 1,
                        (self.last_completion - i) * sizeof(Completion))
                if not (taken.flags & IORING_CQE_F_MORE):
                    self.finished(op)
                return True
        return False

    cdef int run(self, Completion completion) except -1:
        cdef Op op
        cdef bint last
        if <size_t> completion.op & IS_CANCEL:
            op = <Op> <void *> (<size_t> completion.op & ~<size_t> IS_CANCEL)
            Py_DECREF(op)
            op.cancels_in_flight -= 1
            return self.cancel_answered(op, completion.result)
        op = <Op> completion.op
        last = not (completion.flags & IORING_CQE_F_MORE)
        if last:
            self.finished(op)
        return op.completed(completion.result, completion.flags, last)

    cdef int reap_all(self) except -1:
        """Submit, and reap what the kernel's deferred work has to give now.

        So a cancel that follows does not wait for all of it: see cancelled_first.
        """
        cdef int _
        for _ in range(ENTERS_TO_FINISH_CANCELS):
            self.submit_now()
            if self.reap(0) == 0:
                break
        return 0

    cdef int cancelled_first(self) except -1:
        """Submit, and put the completions of cancelled operations before all others.

        The completions of one operation keep their order; between operations
        there is no order to keep.  The rest is left for the next iteration.

        Since Linux 6.13 one enter runs about twenty pieces of the kernel's
        deferred work, oldest first, so it may take several to reach ours.

        Returns:
            How many they are: the next ones to dispatch.
        """
        cdef Completion completion
        cdef int i, _, cancelled = 0, others = 0
        for _ in range(ENTERS_TO_FINISH_CANCELS):
            self.submit_now()
            self.reap(0)
            if self.cancelling == 0:
                break
        for i in range(self.next_completion, self.last_completion):
            completion = self.batch[i]
            if not <size_t> completion.op & IS_CANCEL and (
                    <Op> completion.op).state == OP_CANCELLING:
                self.batch[self.next_completion + cancelled] = completion
                cancelled += 1
            else:
                self.others[others] = completion
                others += 1
        memcpy(self.batch + self.next_completion + cancelled, self.others,
               others * sizeof(Completion))
        return cancelled

    cdef int cancel_answered(self, Op op, int result) except -1:
        if op.state != OP_CANCELLING or (result != -ENOENT and result != -EALREADY):
            return 0
        if op.cancels_missed < CANCELS_AT_MOST:
            op.cancels_missed += 1
            self.queue(op, True)
        return 0

    # -- the end --------------------------------------------------------------

    def close(self):
        """Close the ring; no operation may be in the kernel any more."""
        if not self.is_open:
            return
        if self.in_kernel:
            raise RuntimeError(f"cannot close {self!r}: cancel and reap them first")
        self.buffers.unregister()
        self.is_open = False
        io_uring_queue_exit(&self.ring)

    cdef int close_without_entering(self) except -1:
        """Close a ring that this thread cannot enter, and finish all its operations.

        Either its thread has ended, or a poll is all that is in flight.  Only
        that thread could have advanced an operation.  So from here on the
        kernel cancels them, in its own time, and does not write into their
        memory.
        """
        cdef Op op
        self.is_open = False
        io_uring_queue_exit(&self.ring)
        self.buffers.registered = False
        self.in_kernel = self.cancelling = 0
        while self.newest != NULL:
            op = <Op> self.newest
            while op.cancels_in_flight:
                op.cancels_in_flight -= 1
                Py_DECREF(op)
            self.finished(op)
            op.completed(-ECANCELED, 0, True)
        return 0

    cdef void close_in_child(self) noexcept:
        """Close the descriptor in a forked child; the ring itself is the parent's.

        The ring's memory is not mapped in the child (DONTFORK).  Whatever the
        child has mapped since may be at its addresses, Python's own memory
        included.
        """
        if self.buffers is not None:
            self.buffers.close_in_child()
        if self.is_open:
            self.is_open = False
            close_fd(self.ring.ring_fd)


cdef inline void prepare(io_uring_sqe *sqe, Op op, bint is_cancel) noexcept:
    if not is_cancel:
        op.prepare(sqe)
        sqe.user_data = <size_t> <void *> op
    else:
        io_uring_prep_cancel64(sqe, <size_t> <void *> op, 0)
        sqe.user_data = <size_t> <void *> op | IS_CANCEL


# An operation in the kernel keeps itself alive, and with it the connection and
# the loop that it belongs to; so does a cancel in flight.  We report these
# references to the garbage collector as the ring's.  So it finds a loop that was
# dropped without being closed, and the loop's finalizer warns and closes it, after
# which the kernel holds nothing.  Where the finalizer cannot close it, nothing that
# the kernel uses may be cleared: hence no_gc_clear here and on every operation.

cdef traverseproc traverse_members = (<PyTypeObject *> Ring).tp_traverse


cdef int traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef PyObject *op = (<Ring> self).newest
    cdef int _, result = traverse_members(self, visit, arg)
    while op != NULL:
        for _ in range(1 + (<Op> op).cancels_in_flight):
            if result == 0:
                result = visit(op, arg)
        op = (<Op> op).older
    return result


(<PyTypeObject *> Ring).tp_traverse = traverse

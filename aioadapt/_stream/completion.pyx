"""The four moves over a Ring, and the turn of a loop on io_uring.

Start reading is a multishot recv that goes on until it is cancelled; stop
reading is that cancel, and what the kernel had already taken is reported all
the same; sending is a send(2) where few connections write in a turn and a
send operation where many do, or where the socket is full; letting go is to
cancel both operations and to wait for the last completion of each.

An operation that finishes while another move is under way finds its way
again through ``wants_to_read`` and ``is_letting_go``: what is wanted is
written down, and every last completion looks at it.
"""


from libc.errno cimport EAGAIN, EINTR, ENOBUFS, EPERM, errno
from libc.string cimport memset

from aioadapt._kernel.liburing cimport (
    IORING_CQE_BUFFER_SHIFT,
    IORING_CQE_F_BUFFER,
    IOSQE_BUFFER_SELECT,
    io_uring_prep_poll_add,
    io_uring_prep_poll_multishot,
    io_uring_prep_recv,
    io_uring_prep_recv_multishot,
    io_uring_prep_send,
    io_uring_prep_sendmsg,
    io_uring_sqe,
)
from aioadapt._kernel.linux cimport (
    AF_UNIX,
    ECANCELED,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    POLLIN,
    POLLOUT,
    iovec,
    msghdr,
    sendmsg,
)
from aioadapt._kernel.linux cimport send as send_to_socket
from aioadapt._kernel.op cimport OP_IDLE, Op
from aioadapt._kernel.ring cimport Ring
from aioadapt._stream.outgoing cimport CHUNKS_A_CALL, Outgoing
from aioadapt._stream.stream cimport Way
from aioadapt._turn.turn cimport EndOfTurn, FdCallbacks, Turn

import os
import stat
import threading
from time import monotonic, sleep

from aioadapt.errors import WrongThreadError

# A guess, long enough: it has only to free its stack.
cdef double THREAD_ENDS_WITHIN_S = 1.0

cdef enum:
    # From so many writers a turn on, their sends go to the kernel together.
    # Below, a direct send costs the same and leaves no completion to collect.
    RING_SENDS_FROM_WRITERS = 8


cdef class CompletionTurn(Turn):

    def __cinit__(self, *args, **kwargs):
        self.unbegun = []
        self.wakeup_op = WakeupOp.__new__(WakeupOp)
        self.wakeup_op.fd = self.inbox.wakeup.fd
        self.wakeup_op.turn = self

    cdef int make_ring(self) except -1:
        self.ring = Ring()
        self.ring.enable()
        self.begin(self.wakeup_op)
        unbegun, self.unbegun = self.unbegun, []
        for op in unbegun:
            self.ring.begin(<Op> op)
        return 0

    cdef int engine_starts(self) except -1:
        """A ring belongs to the thread that runs it: make it, or make it again."""
        if self.ring is None:
            return self.make_ring()
        if self.ring.thread_id == threading.get_native_id():
            return 0
        if not self.holds_nothing():
            raise WrongThreadError(
                f"{self!r} ran on the thread {self.ring.thread_id}, where its io_uring still "
                f"holds {self.in_kernel()} operations for open connections, listeners or "
                "readers. Run it there, or close them before it is run on another thread")
        self.cancels_before += self.ring.cancels
        self.overflows_before += self.ring.overflows
        self.ring.leave_to_kernel()
        self.wakeup_op = WakeupOp.__new__(WakeupOp)
        self.wakeup_op.fd = self.inbox.wakeup.fd
        self.wakeup_op.turn = self
        self.ring = None
        return self.make_ring()

    cdef int in_kernel(self) noexcept:
        """Not counting the poll that wakes the loop, which writes into no memory of ours."""
        return self.ring.in_kernel - (self.wakeup_op.state != OP_IDLE)

    cdef bint holds_nothing(self) noexcept:
        return (self.in_kernel() <= 0
                and self.ring.dying_cancels == 0 and not self.ring.has_completions())

    cdef int engine_pauses(self) except -1:
        # A cancel that was asked for in the last turn must not wait for the
        # loop to run again.
        return 0 if self._is_forked_copy() else self.submit()

    cdef int collect(self, long long timeout_ns, int at_most) except -1:
        self.writers, self.writers_now = self.writers_now, 0
        return self.ring.wait(timeout_ns, at_most)

    cdef bint dispatch_next(self) except -1:
        return self.ring.dispatch_next()

    cdef int settle_cancels(self) except -1:
        return self.ring.settle_cancels()

    cdef bint has_collected(self) noexcept:
        return self.ring.has_completions()

    cdef int begin(self, Op op) except -1:
        self.check_not_forked()
        if self.ring is None or self.is_stranded:
            self.unbegun.append(op)
            return 0
        return self.ring.begin(op)

    cdef int cancel(self, Op op) except -1:
        self.check_not_forked()
        if self.is_stranded:
            return 0             # closing the ring cancels all there is
        if self.ring is None:
            if op in self.unbegun:
                self.unbegun.remove(op)
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

    cdef int interest_changed(self, FdCallbacks callbacks) except -1:
        self.check_not_forked()
        callbacks.by_engine = self._poll_for(
            callbacks, callbacks.by_engine, callbacks.reader, False)
        callbacks.by_engine_too = self._poll_for(
            callbacks, callbacks.by_engine_too, callbacks.writer, True)
        return 0

    def _poll_for(self, FdCallbacks callbacks, PollOp op, handle, bint is_writer):
        """One poll operation for each direction; a new one each time it is wanted anew."""
        if handle is None:
            if op is not None:
                op.callbacks = None
                self.cancel(op)
            return None
        if op is not None:
            return op
        check_can_be_polled(callbacks.fd)
        op = PollOp.__new__(PollOp)
        op.fd = callbacks.fd
        op.turn = self
        op.callbacks = callbacks
        op.is_writer = is_writer
        self.begin(op)
        return op

    def _new_way(self):
        cdef CompletionWay way = CompletionWay.__new__(CompletionWay)
        way.turn = self
        return way

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
        """Another thread's ring can be closed if it holds nothing, or the thread has ended."""
        cdef Ring ring = self.ring
        if ring is None or ring.thread_id == threading.get_native_id():
            return
        self.is_stranded = self.holds_nothing() or has_ended(ring.thread_id)
        if not self.is_stranded:
            raise WrongThreadError(
                f"{self!r} ran on the thread {ring.thread_id}, where its io_uring still "
                f"holds {self.in_kernel()} operations. Close it there, or when that thread "
                "has ended")

    def _close_engine(self):
        """Cancel what the kernel holds, wait until it holds nothing, let the ring go."""
        cdef Ring ring = self.ring
        if ring is not None and self.is_stranded:
            # What had completed lies on the ring, which anybody may read; it
            # may hold descriptors that were accepted.
            while ring.has_completions() or ring.collect(0):
                while ring.dispatch_next():
                    pass
            ring.leave_to_kernel()
        elif ring is not None:
            ring.cancel(self.wakeup_op)
            while ring.in_kernel or ring.dying_cancels or ring.has_completions():
                if not ring.has_completions():
                    ring.wait(-1, 0)
                while ring.dispatch_next():
                    pass
            ring.close()
        self.unbegun.clear()
        self.ring = None

    def _abandon_engine(self):
        if self.ring is not None:
            self.ring.abandon()


cdef bint has_ended(int thread_id) except -1:
    """Has the kernel done with a thread?

    Before Python 3.13 a thread can be joined a moment before it has ended.
    """
    if thread_id in [thread.native_id for thread in threading.enumerate()]:
        return False
    give_up_at_s = monotonic() + THREAD_ENDS_WITHIN_S
    while os.path.exists(f"/proc/self/task/{thread_id}"):
        if monotonic() > give_up_at_s:
            return False
        sleep(0.0001)
    return True


cdef int check_can_be_polled(int fd) except -1:
    """epoll refuses what is always ready; io_uring does not, so we do."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        raise PermissionError(EPERM, os.strerror(EPERM))
    return 0


cdef class WakeupOp(Op):
    """Edges of the eventfd, until the loop closes."""

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_poll_multishot(sqe, self.fd, POLLIN)

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        if last and result != -ECANCELED:
            self.turn.begin(self)
        return 0


cdef class PollOp(Op):
    """One direction of add_reader or add_writer: one shot, begun again after it ran."""

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_poll_add(sqe, self.fd, POLLOUT if self.is_writer else POLLIN)

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        cdef RearmPoll rearm
        if self.callbacks is None or result == -ECANCELED:
            return 0
        if self.is_writer:
            self.callbacks.writable(self.turn)
        else:
            self.callbacks.readable(self.turn)
        # Level-triggered: look again once the callbacks of this turn have run.
        rearm = RearmPoll.__new__(RearmPoll)
        rearm.op = self
        self.turn.ending.append(rearm)
        return 0


cdef class RearmPoll(EndOfTurn):

    cdef int turn_ends(self) except -1:
        if self.op.callbacks is not None and self.op.state == OP_IDLE:
            self.op.turn.begin(self.op)
        return 0


cdef class RecvOp(Op):

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        if self.is_multishot:
            io_uring_prep_recv_multishot(sqe, self.fd, NULL, 0, 0)
        else:
            io_uring_prep_recv(sqe, self.fd, NULL, 0, 0)
        sqe.flags = IOSQE_BUFFER_SELECT
        sqe.buf_group = 0

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        return self.way.recv_completed(result, flags, last)


cdef class SendOp(Op):

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        if self.count == 1:
            io_uring_prep_send(
                sqe, self.fd, self.vectors[0].iov_base, self.vectors[0].iov_len, MSG_NOSIGNAL)
        else:
            memset(&self.message, 0, sizeof(self.message))
            self.message.msg_iov = self.vectors
            self.message.msg_iovlen = self.count
            io_uring_prep_sendmsg(sqe, self.fd, &self.message, MSG_NOSIGNAL)

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        self.chunks = None
        return self.way.send_completed(result)


cdef class Rearm(EndOfTurn):
    """A recv that ran out of buffers: they are back when the turn ends."""

    cdef int turn_ends(self) except -1:
        return self.way.arm()


cdef class CompletionWay(Way):

    # -- reading --------------------------------------------------------------

    cdef int start_reading(self) except -1:
        self.wants_to_read = True
        return self.arm()

    cdef int stop_reading(self) except -1:
        self.wants_to_read = False
        if self.recv is not None:
            self.turn.cancel(self.recv)
        return 0

    cdef int arm(self) except -1:
        if not self.wants_to_read or self.is_letting_go or self.stream is None:
            return 0
        if self.recv is None:
            self.recv = RecvOp.__new__(RecvOp)
            self.recv.way = self
            self.recv.fd = self.stream.fd
            # A multishot recv misses the end of file of a Unix socket
            # (liburing issue 1549).
            self.recv.is_multishot = self.stream.family != AF_UNIX
        # One that is being cancelled is begun again at its last completion.
        if self.recv.state == OP_IDLE and not (
                self.turn.ring is None and self.recv in self.turn.unbegun):
            self.turn.begin(self.recv)
        return 0

    cdef int recv_completed(self, int result, unsigned flags, bint last) except -1:
        cdef unsigned number
        cdef Rearm rearm
        if last and result > 0 and not self.is_letting_go:
            # Before the bytes are delivered: a protocol may raise out of the
            # loop, and the connection must not be deaf afterwards.
            self.arm()
        if flags & IORING_CQE_F_BUFFER:
            number = flags >> IORING_CQE_BUFFER_SHIFT
            try:
                if result > 0 and self.stream is not None:
                    self.stream.received(self.turn.ring.buffers.at(number), result)
            finally:
                self.turn.ring.buffers.give_back(number)
        if not last:
            return 0
        if self.is_letting_go:
            if self.stream is not None and (
                    result == 0 or (result < 0 and result not in (-ECANCELED, -ENOBUFS))):
                self.stream.received_end(1 if result == 0 else result)
            return self.let_go_when_idle()
        if result > 0:
            return 0
        if result == -ECANCELED or result == -EINTR or result == -EAGAIN:
            return self.arm()
        if result == -ENOBUFS:
            self.turn.counted.enobufs += 1
            rearm = Rearm.__new__(Rearm)
            rearm.way = self
            self.turn.ending.append(rearm)
            return 0
        self.wants_to_read = False
        if self.stream is not None:
            return self.stream.received_end(1 if result == 0 else result)
        return 0

    # -- sending --------------------------------------------------------------

    cdef bint is_sending(self) noexcept:
        return self.send_op is not None and self.send_op.state != OP_IDLE

    cdef int send(self, bint at_once) except -1:
        self.turn.writers_now += 1
        if self.is_sending():
            return 0             # its completion sends what came since
        if at_once or self.turn.writers < RING_SENDS_FROM_WRITERS:
            return self.send_directly()
        return self.begin_send()

    cdef int send_directly(self) except -1:
        """Now, as much as the socket takes; the kernel waits for room for the rest."""
        cdef Outgoing out = self.stream.out
        cdef iovec vectors[CHUNKS_A_CALL]
        cdef msghdr message
        cdef Py_ssize_t n
        cdef int count = out.fill(vectors)
        self.turn.counted.direct_sends += 1
        if count == 1:
            n = send_to_socket(self.stream.fd, vectors[0].iov_base, vectors[0].iov_len,
                               MSG_DONTWAIT | MSG_NOSIGNAL)
        else:
            memset(&message, 0, sizeof(message))
            message.msg_iov = vectors
            message.msg_iovlen = count
            n = sendmsg(self.stream.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
        if n < 0 and errno != EAGAIN and errno != EINTR:
            return self.stream.send_failed(errno)
        if n > 0:
            self.stream.sent(n)
        if self.stream is not None and self.stream.out.size and not self.is_letting_go \
                and not self.is_sending():
            return self.begin_send()
        return 0

    cdef int begin_send(self) except -1:
        cdef Outgoing out = self.stream.out
        cdef SendOp op = self.send_op
        cdef int i
        if op is None:
            op = self.send_op = SendOp.__new__(SendOp)
            op.way = self
            op.fd = self.stream.fd
        op.count = out.fill(op.vectors)
        op.chunks = [out.chunk_at(i) for i in range(op.count)]
        self.turn.counted.ring_sends += 1
        return self.turn.begin(op)

    cdef int send_completed(self, int result) except -1:
        if self.is_letting_go:
            if result > 0 and self.stream is not None:
                self.stream.sent(result)
            return self.let_go_when_idle()
        if self.stream is None:
            return 0
        if result > 0:
            self.stream.sent(result)
        elif result != -EINTR and result != -EAGAIN:
            return self.stream.send_failed(-result)
        if self.stream is not None and self.stream.out.size and not self.is_sending() \
                and not self.is_letting_go:
            return self.begin_send()
        return 0

    # -- letting go -----------------------------------------------------------

    cdef int let_go(self) except -1:
        self.wants_to_read = False
        self.is_letting_go = True
        if self.recv is not None:
            self.turn.cancel(self.recv)
        if self.send_op is not None:
            self.turn.cancel(self.send_op)
        return self.let_go_when_idle()

    cdef int let_go_when_idle(self) except -1:
        if not self.is_letting_go:
            return 0
        if self.recv is not None and self.recv.state != OP_IDLE:
            return 0
        if self.is_sending():
            return 0
        self.is_letting_go = False
        # Operations know their way; without them the cycle is gone.
        self.recv = None
        self.send_op = None
        if self.stream is not None:
            return self.stream.kernel_let_go()
        return 0

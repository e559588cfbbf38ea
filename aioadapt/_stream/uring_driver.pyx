"""The io_uring driver of a stream.

Start reading begins a multishot recv, which runs until it is cancelled.  Stop
reading cancels it; bytes that the kernel had already received are still reported.
Sending is send(2) if few connections write in an iteration, and a send operation if
many do or if the socket is full.  Detaching cancels both operations and waits for
the last completion of each.

An operation may finish after the driver has been told something else.  So what is
wanted is kept in ``wants_to_read`` and ``is_detaching``, and every last completion
checks these to decide what comes next.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.string cimport memset

from aioadapt._kernel.liburing cimport (
    IORING_CQE_BUFFER_SHIFT,
    IORING_CQE_F_BUFFER,
    IOSQE_BUFFER_SELECT,
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
    iovec,
    msghdr,
    sendmsg,
)
from aioadapt._kernel.linux cimport send as send_to_socket
from aioadapt._kernel.op cimport OP_IDLE, Op
from aioadapt._kernel.ring cimport Ring
from aioadapt._loop.core cimport FlushHook
from aioadapt._stream.endpoint cimport Endpoint, Driver
from aioadapt._stream.outgoing cimport CHUNKS_A_CALL, Outgoing
from aioadapt._stream.stream cimport Stream

cdef enum:
    # With this many writers in an iteration, their sends are submitted together.
    # Below that, a direct send costs the same and leaves no completion to reap.
    RING_SENDS_FROM_WRITERS = 8


@cython.no_gc_clear
cdef class RecvOp(Op):

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        if self.is_multishot:
            io_uring_prep_recv_multishot(sqe, self.fd, NULL, 0, 0)
        else:
            io_uring_prep_recv(sqe, self.fd, NULL, 0, 0)
        sqe.flags = IOSQE_BUFFER_SELECT
        sqe.buf_group = 0

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        return self.driver.recv_completed(result, flags, last)


@cython.no_gc_clear
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
        return self.driver.send_completed(result)


cdef class Rearm(FlushHook):
    """Restarts a recv that ran out of buffers: they are back when an iteration ends.

    Not after a short iteration: completions that were reaped but have not run still
    hold theirs, and the recv would only run out of buffers again.
    """

    cdef int flush(self) except -1:
        cdef Ring ring = self.driver.loop.ring
        if ring is not None and 2 * ring.buffers.taken > ring.buffers.count:
            self.driver.loop.flush_queue.append(self)
            return 0
        return self.driver.arm()


cdef class UringStreamDriver(Driver):

    def __cinit__(self, loop):
        self.loop = loop

    cdef int serve(self, Endpoint stream) except -1:
        self.stream = <Stream> stream
        return 0

    # -- reading --------------------------------------------------------------

    cdef int start_reading(self) except -1:
        self.wants_to_read = True
        return self.arm()

    cdef int stop_reading(self) except -1:
        self.wants_to_read = False
        if self.recv is not None:
            self.loop.cancel(self.recv)
        return 0

    cdef int arm(self) except -1:
        if not self.wants_to_read or self.is_detaching or self.stream is None:
            return 0
        if self.recv is None:
            self.recv = RecvOp.__new__(RecvOp)
            self.recv.driver = self
            self.recv.fd = self.stream.fd
            # A multishot recv misses the end of file of a Unix socket
            # (liburing issue 1549).
            self.recv.is_multishot = self.stream.family != AF_UNIX
        # If it is being cancelled, its last completion begins it again.
        if self.recv.state == OP_IDLE and not (
                self.loop.ring is None and self.recv in self.loop.deferred_ops):
            self.loop.begin(self.recv)
        return 0

    cdef int recv_completed(self, int result, unsigned flags, bint last) except -1:
        cdef unsigned number
        cdef Rearm rearm
        if last and result > 0 and not self.is_detaching:
            # Before the bytes are delivered: a protocol may raise out of the loop,
            # and the connection must still read afterwards.
            self.arm()
        if flags & IORING_CQE_F_BUFFER:
            number = flags >> IORING_CQE_BUFFER_SHIFT
            try:
                if result > 0 and self.stream is not None:
                    self.stream.received(self.loop.ring.buffers.at(number), result)
            finally:
                self.loop.ring.buffers.give_back(number)
        if not last:
            return 0
        if self.is_detaching:
            if self.stream is not None and (
                    result == 0 or (result < 0 and result not in (-ECANCELED, -ENOBUFS))):
                self.stream.received_end(1 if result == 0 else result)
            return self.detach_when_idle()
        if result > 0:
            return 0
        if result == -ECANCELED or result == -EINTR or result == -EAGAIN:
            return self.arm()
        if result == -ENOBUFS:
            self.loop.counted.enobufs += 1
            rearm = Rearm.__new__(Rearm)
            rearm.driver = self
            self.loop.flush_queue.append(rearm)
            return 0
        self.wants_to_read = False
        if self.stream is not None:
            return self.stream.received_end(1 if result == 0 else result)
        return 0

    # -- sending --------------------------------------------------------------

    cdef bint is_sending(self) noexcept:
        return self.send_op is not None and self.send_op.state != OP_IDLE

    cdef int send(self, bint immediately) except -1:
        self.loop.writers_now += 1
        if self.is_sending():
            return 0             # its completion sends what was added since
        if immediately or self.loop.writers < RING_SENDS_FROM_WRITERS:
            return self.send_directly()
        if self.stream.release_handler is not None:
            # So that it is quiet when this iteration ends.  By the time a completion
            # has been reaped, the next request may have arrived as well.
            return self.send_directly()
        return self.begin_send()

    cdef int send_directly(self) except -1:
        """Send what the socket takes now, and leave the rest to a send operation."""
        cdef Outgoing out = self.stream.out
        cdef iovec vectors[CHUNKS_A_CALL]
        cdef msghdr message
        cdef Py_ssize_t n
        cdef int count = out.fill(vectors)
        self.loop.counted.direct_sends += 1
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
        if self.stream is not None and self.stream.out.size and not self.is_detaching \
                and not self.is_sending():
            return self.begin_send()
        return 0

    cdef int begin_send(self) except -1:
        cdef Outgoing out = self.stream.out
        cdef SendOp op = self.send_op
        cdef int i
        if op is None:
            op = self.send_op = SendOp.__new__(SendOp)
            op.driver = self
            op.fd = self.stream.fd
        op.count = out.fill(op.vectors)
        op.chunks = [out.chunk_at(i) for i in range(op.count)]
        self.loop.counted.ring_sends += 1
        return self.loop.begin(op)

    cdef int send_completed(self, int result) except -1:
        if self.is_detaching:
            if result > 0 and self.stream is not None:
                self.stream.sent(result)
            return self.detach_when_idle()
        if self.stream is None:
            return 0
        if result > 0:
            self.stream.sent(result)
        elif result != -EINTR and result != -EAGAIN:
            return self.stream.send_failed(-result)
        if self.stream is not None and self.stream.out.size and not self.is_sending() \
                and not self.is_detaching:
            return self.begin_send()
        return 0

    # -- detaching ------------------------------------------------------------

    cdef bint is_in_kernel(self) noexcept:
        return (
            self.recv is not None and self.recv.state != OP_IDLE
            and not self.recv.last_is_reaped
            or self.send_op is not None and self.send_op.state != OP_IDLE
            and not self.send_op.last_is_reaped)

    cdef int detach(self) except -1:
        self.wants_to_read = False
        self.is_detaching = True
        if self.recv is not None:
            self.loop.cancel(self.recv)
        if self.send_op is not None:
            self.loop.cancel(self.send_op)
        return self.detach_when_idle()

    cdef int detach_when_idle(self) except -1:
        if not self.is_detaching:
            return 0
        if self.recv is not None and self.recv.state != OP_IDLE:
            return 0
        if self.is_sending():
            return 0
        self.is_detaching = False
        # Operations refer to their driver; dropping them breaks the cycle.
        self.recv = None
        self.send_op = None
        if self.stream is not None:
            return self.stream.on_detached()
        return 0

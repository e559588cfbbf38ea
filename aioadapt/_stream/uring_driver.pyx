"""The io_uring driver of a stream.

Start reading begins a multishot recv, which runs until it is cancelled.  Stop
reading cancels it; bytes that the kernel had already received are still reported.
While a full socket is waited for, a one-shot poll is in the kernel.  Detaching cancels
both operations and waits for the last completion of each.

An operation may finish after the driver has been told something else.  So what is
wanted is kept in ``wants_to_read`` and ``is_detaching``, and every last completion
checks these to decide what comes next.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, ENOBUFS

from aioadapt._kernel.liburing cimport (
    IORING_CQE_BUFFER_SHIFT,
    IORING_CQE_F_BUFFER,
    IOSQE_BUFFER_SELECT,
    io_uring_prep_recv,
    io_uring_prep_recv_multishot,
    io_uring_prep_poll_add,
    io_uring_sqe,
)
from aioadapt._kernel.linux cimport (
    AF_UNIX,
    ECANCELED,
    POLLERR,
    POLLHUP,
    POLLOUT,
)
from aioadapt._kernel.op cimport OP_IDLE, Op
from aioadapt._kernel.ring cimport Ring
from aioadapt._loop.hooks cimport FlushHook
from aioadapt._stream.endpoint cimport Endpoint, Driver
from aioadapt._stream.stream cimport Stream


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
cdef class RoomOp(Op):
    """A one-shot poll for room in the socket.

    Not a send operation: the kernel may hand one that waits to a worker thread, where
    a cancel does not find it until the peer reads (seen on Linux 6.18, with a peer that
    has half-closed).
    """

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_poll_add(sqe, self.fd, POLLOUT)

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        return self.driver.room_completed(result)


cdef class Rearm(FlushHook):
    """Restarts a recv that ran out of buffers: they are back when an iteration ends.

    Not after a short iteration: completions that were reaped but have not run still
    hold theirs, and the recv would only run out of buffers again.
    """

    cdef int flush(self) except -1:
        cdef Ring ring = self.driver.loop.ring
        if ring is not None and 2 * ring.buffers.taken > ring.buffers.count:
            self.driver.loop.end_queue.append(self)
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
        if not self.wants_to_read or self.is_detaching or self.stream is None \
                or self.loop.is_parked:
            return 0
        if self.recv is None:
            self.recv = RecvOp.__new__(RecvOp)
            self.recv.driver = self
            self.recv.fd = self.stream.fd
            # A multishot recv misses the end of file of a Unix socket
            # (liburing issue 1549).
            self.recv.is_multishot = self.stream.family != AF_UNIX
        # If it is being cancelled, its last completion begins it again.
        if self.recv.state == OP_IDLE:
            self.loop.begin(self.recv)
        return 0

    cdef int park(self) except -1:
        if self.recv is not None:
            self.loop.cancel(self.recv)
        if self.room_op is not None:
            self.loop.cancel(self.room_op)
        return 0

    cdef int unpark(self) except -1:
        self.arm()
        return self.update_room()

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
            self.loop.end_queue.append(rearm)
            return 0
        self.wants_to_read = False
        if self.stream is not None:
            return self.stream.received_end(1 if result == 0 else result)
        return 0

    # -- writing --------------------------------------------------------------

    cdef int update_room(self) except -1:
        if self.stream is None or not self.stream.wants_room or self.is_detaching \
                or self.loop.is_parked:
            return 0             # one that is in the kernel may as well complete
        if self.room_op is None:
            self.room_op = RoomOp.__new__(RoomOp)
            self.room_op.driver = self
            self.room_op.fd = self.stream.fd
        # If it is being cancelled, its completion begins it again.
        return self.loop.begin(self.room_op) if self.room_op.state == OP_IDLE else 0

    cdef int room_completed(self, int result) except -1:
        if self.is_detaching:
            return self.detach_when_idle()
        if self.stream is None or not self.stream.wants_room or self.loop.is_parked:
            return 0
        if result < 0 or result & (POLLERR | POLLHUP) and self.recv_is_reaped():
            # Cancelled; or the connection has failed, and the receive knows why.
            return self.update_room()
        return self.stream.has_room()

    cdef bint recv_is_reaped(self) noexcept:
        """Does its last completion follow in this iteration?"""
        return (self.recv is not None and self.recv.last_is_reaped
                and self.recv.state != OP_IDLE)

    # -- detaching ------------------------------------------------------------

    cdef bint is_in_kernel(self) noexcept:
        return (
            self.recv is not None and self.recv.state != OP_IDLE
            and not self.recv.last_is_reaped
            or self.room_op is not None and self.room_op.state != OP_IDLE
            and not self.room_op.last_is_reaped)

    cdef int detach(self) except -1:
        self.wants_to_read = False
        self.is_detaching = True
        if self.recv is not None:
            self.loop.cancel(self.recv)
        if self.room_op is not None:
            self.loop.cancel(self.room_op)
        return self.detach_when_idle()

    cdef int detach_when_idle(self) except -1:
        if not self.is_detaching:
            return 0
        if self.recv is not None and self.recv.state != OP_IDLE:
            return 0
        if self.room_op is not None and self.room_op.state != OP_IDLE:
            return 0
        self.is_detaching = False
        # Operations refer to their driver; dropping them breaks the cycle.
        self.recv = None
        self.room_op = None
        if self.stream is not None:
            return self.stream.on_detached()
        return 0

"""The io_uring driver of a stream.

Start reading begins a receive, stop reading cancels it; bytes that the kernel had
already received are still reported.  A receive is of one of two modes:

    MULTISHOT   a recv that lasts until it is cancelled, into buffers provided to the
                kernel: for small messages
    POLL        a one-shot poll, then recv(2) as over epoll: for large ones, and for
                Unix sockets

    MULTISHOT --a whole buffer was filled--> POLL --SMALL_READS small ones--> MULTISHOT

While a full socket is waited for, a one-shot poll is in the kernel.  Detaching cancels
both operations and waits for the last completion of each.

An operation may finish after the driver has been told something else.  So every last
completion looks at what the stream wants, and at the driver's state, to decide what
comes next:

    SERVING --no buffer was left--> OUT_OF_BUFFERS --half of them are back--> SERVING
    SERVING or OUT_OF_BUFFERS --detach--> DETACHING --both operations are over--> SERVING
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, ENOBUFS
from libc.string cimport memcpy

from aioadapt._engine.driver cimport Driven, Driver
from aioadapt._kernel.liburing cimport (
    Completion,
    IORING_CQE_BUFFER_SHIFT,
    IORING_CQE_F_BUFFER,
    IORING_CQE_F_MORE,
    IOSQE_BUFFER_SELECT,
    io_uring_prep_recv_multishot,
    io_uring_prep_poll_add,
    io_uring_sqe,
)
from aioadapt._kernel.linux cimport (
    AF_UNIX,
    ECANCELED,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
)
from aioadapt._kernel.op cimport OP_IDLE, Op, is_idle, kernel_may_use
from aioadapt._kernel.receive_buffers cimport ReceiveBuffers
from aioadapt._kernel.ring cimport Ring
from aioadapt._loop.core cimport READ_BYTES
from aioadapt._loop.hooks cimport FlushHook

cdef enum:
    # Guesses: what a provided buffer holds, and longer than a pause in an upload.
    SMALL_BYTES = 16384
    SMALL_READS = 16


@cython.no_gc_clear
cdef class RecvOp(Op):

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        if self.mode == POLL:
            io_uring_prep_poll_add(sqe, self.fd, POLLIN)
        else:
            io_uring_prep_recv_multishot(sqe, self.fd, NULL, 0, 0)
            sqe.flags = IOSQE_BUFFER_SELECT
            sqe.buf_group = 0

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        if self.mode == POLL:
            return self.driver.poll_completed(result)
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


cdef class UpdateReceive(FlushHook):
    """Begins or cancels the receive when the iteration ends.

    So pausing and resuming in one callback costs nothing in the kernel.  A recv that
    ran out of buffers begins again when half of them are back: completions that were
    reaped but have not run still hold theirs.
    """

    cdef int flush(self) except -1:
        cdef Ring ring = self.driver.loop.ring
        if self.driver.state == OUT_OF_BUFFERS:
            if ring is not None and 2 * ring.buffers.taken > ring.buffers.count:
                return self.driver.update_receive_soon()
            self.driver.state = SERVING
        return self.driver.update_receive()


cdef class UringStreamDriver(Driver):

    def __cinit__(self, loop):
        self.loop = loop

    @property
    def engine(self):
        return "uring"

    cdef int serve(self, Driven stream) except -1:
        cdef int change = (stream is not None) - (self.stream is not None)
        self.stream = stream
        self.loop.served_on_ring += change
        if change < 0 and self.loop.served_on_ring == 0:
            self.loop.ring_serves_nothing()
        return 0

    # -- reading --------------------------------------------------------------

    cdef int start_reading(self) except -1:
        return self.update_receive()

    cdef int stop_reading(self, bint may_resume) except -1:
        return self.update_receive_soon() if may_resume else self.update_receive()

    cdef int update_receive_soon(self) except -1:
        self.loop.check_not_forked()
        if self.at_end is None:
            self.at_end = UpdateReceive.__new__(UpdateReceive)
            self.at_end.driver = self
        self.loop.end_queue.add(self.at_end)
        return 0

    cdef int update_receive(self) except -1:
        """Begin or cancel the receive, so that it is in the kernel if it is wanted."""
        if self.state == DETACHING or self.stream is None or self.loop.is_parked:
            return 0
        if not self.stream.is_reading:
            return self.loop.cancel(self.recv)
        if self.recv is None:
            self.recv = RecvOp.__new__(RecvOp)
            self.recv.driver = self
            self.recv.fd = self.stream.fd
            # A multishot recv misses the end of file of a Unix socket
            # (liburing issue 1549).
            self.mode = POLL if self.stream.family == AF_UNIX else MULTISHOT
        # If it is being cancelled, its last completion begins it again.
        if self.recv.state == OP_IDLE:
            self.recv.mode = self.mode
            self.loop.begin(self.recv)
        return 0

    cdef int park(self) except -1:
        self.loop.cancel(self.recv)
        return self.loop.cancel(self.room_op)

    cdef int unpark(self) except -1:
        self.update_receive()
        return self.update_room()

    cdef int poll_completed(self, int result) except -1:
        cdef Py_ssize_t n
        if self.state == DETACHING:
            return self.detach_when_idle()
        # Before the protocol is called: it may raise out of the loop.
        self.update_receive_soon()
        if result < 0 or self.stream is None or not self.stream.is_reading \
                or self.loop.is_parked:
            return 0
        n = self.stream.readable()
        if self.stream is not None and self.stream.family != AF_UNIX:
            self.small_reads += 1
            if n >= SMALL_BYTES:
                self.small_reads = 0
            elif self.small_reads >= SMALL_READS:
                self.mode = MULTISHOT
        return 0

    cdef int recv_completed(self, int result, unsigned flags, bint last) except -1:
        cdef unsigned number
        cdef ReceiveBuffers buffers = self.loop.ring.buffers
        if flags & IORING_CQE_F_BUFFER:
            self.bytes_iteration = self.loop.iteration
            number = flags >> IORING_CQE_BUFFER_SHIFT
            if result == <int> buffers.size_bytes and self.stream is not None:
                return self.received_much(number, last)
            if last and self.state != DETACHING:
                self.update_receive()    # now: a protocol may raise out of the loop
            try:
                if result > 0 and self.stream is not None:
                    self.stream.received(buffers.at(number), result)
            finally:
                buffers.give_back(number)
        return self.recv_ended(result) if last else 0

    cdef int received_much(self, unsigned number, bint last) except -1:
        """A whole buffer: deliver it with those that follow in the batch, as one piece.

        From now on the socket is read directly, once in an iteration, so that it neither
        holds up others nor takes all buffers.
        """
        cdef ReceiveBuffers buffers = self.loop.ring.buffers
        cdef Completion next
        cdef Py_ssize_t size = buffers.size_bytes, taken = size
        cdef char *joined = self.loop.buffer_to_read()
        memcpy(joined, buffers.at(number), size)
        buffers.give_back(number)
        next.result, next.flags = size, 0
        while not last and taken + size <= READ_BYTES \
                and self.loop.ring.take_next(self.recv, &next):
            last = not (next.flags & IORING_CQE_F_MORE)
            if next.flags & IORING_CQE_F_BUFFER:
                number = next.flags >> IORING_CQE_BUFFER_SHIFT
                if next.result > 0:
                    memcpy(joined + taken, buffers.at(number), next.result)
                    taken += next.result
                buffers.give_back(number)
            if next.result != size:
                break
        self.mode = POLL
        if self.state != DETACHING:
            if last:
                self.update_receive_soon()
            else:
                self.loop.cancel(self.recv)
        self.stream.received(joined, taken)
        if last and (next.result <= 0 or self.state == DETACHING):
            return self.recv_ended(next.result)
        return 0

    cdef int recv_ended(self, int result) except -1:
        """The last completion of a multishot recv has run."""
        cdef bint is_end = result == 0 or (
            result < 0 and result not in (-ECANCELED, -ENOBUFS, -EINTR, -EAGAIN))
        if is_end and self.stream is not None:
            # As in asyncio, the end is found in the iteration after that of the bytes.
            if self.bytes_iteration == self.loop.iteration:
                self.stream.received_end_after_bytes(1 if result == 0 else result)
            else:
                self.stream.received_end(1 if result == 0 else result)
        if self.state == DETACHING:
            return self.detach_when_idle()
        if result == -ENOBUFS:
            self.loop.counted.enobufs += 1
            self.state = OUT_OF_BUFFERS
            return self.update_receive_soon()
        return 0 if is_end else self.update_receive()

    # -- writing --------------------------------------------------------------

    cdef int update_room(self) except -1:
        if self.stream is None or not self.stream.wants_room or self.state == DETACHING \
                or self.loop.is_parked:
            return 0             # one that is in the kernel may as well complete
        if self.room_op is None:
            self.room_op = RoomOp.__new__(RoomOp)
            self.room_op.driver = self
            self.room_op.fd = self.stream.fd
        # If it is being cancelled, its completion begins it again.
        return self.loop.begin(self.room_op) if self.room_op.state == OP_IDLE else 0

    cdef int room_completed(self, int result) except -1:
        if self.state == DETACHING:
            return self.detach_when_idle()
        if self.stream is None or not self.stream.wants_room or self.loop.is_parked:
            return 0
        if result < 0 or result & (POLLERR | POLLHUP) and self.recv_is_reaped():
            # Cancelled; or the connection has failed, and the receive knows why.
            return self.update_room()
        return self.stream.writable()

    cdef bint recv_is_reaped(self) noexcept:
        """Does its last completion follow in this iteration?"""
        return not is_idle(self.recv) and self.recv.last_is_reaped

    # -- detaching ------------------------------------------------------------

    cdef bint is_in_kernel(self) noexcept:
        return kernel_may_use(self.recv) or kernel_may_use(self.room_op)

    cdef int detach(self) except -1:
        self.state = DETACHING
        self.loop.cancel(self.recv)
        self.loop.cancel(self.room_op)
        return self.detach_when_idle()

    cdef int detach_when_idle(self) except -1:
        if not (self.state == DETACHING and is_idle(self.recv) and is_idle(self.room_op)):
            return 0
        self.state = SERVING
        # Operations refer to their driver; dropping them breaks the cycle.
        self.recv = None
        self.room_op = None
        if self.stream is not None:
            return self.stream.on_detached()
        return 0

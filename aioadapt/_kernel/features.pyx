# cython: auto_pickle=False
"""What io_uring can do on this kernel and in this container.

A version number does not tell: distributions backport features, containers
filter system calls, and sandboxes implement some calls and not others.  So the
probe sets up a small ring and tries, once, everything that the loop will need:
receive into provided buffers, poll, cancel, and wait with a timeout.  What works
as it should is a feature; what does not is missing.

The ring, its sockets and its memory are gone when the probe returns.  Nothing
here says *why* the kernel refused: ``refusal.py`` explains that, from the errno
and the step that are found here.
"""

import errno as errnos
import os
import select
import socket
import time

from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memset
from posix.stdlib cimport posix_memalign
from posix.unistd cimport _SC_PAGESIZE, sysconf

from aioadapt._kernel.findings import Findings

from aioadapt._kernel.liburing cimport (
    Completion, IORING_CQE_BUFFER_SHIFT, IORING_CQE_F_BUFFER, IORING_CQE_F_MORE,
    IORING_FEAT_EXT_ARG, IORING_FEAT_MIN_TIMEOUT, IORING_FEAT_NODROP,
    IORING_FEAT_RECVSEND_BUNDLE, IORING_OP_SEND_ZC, IORING_SETUP_CLAMP,
    IORING_SETUP_CQSIZE, IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_R_DISABLED,
    IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_SUBMIT_ALL, IOSQE_BUFFER_SELECT,
    reap_into, enter, io_uring, io_uring_buf_reg, io_uring_buf_ring,
    io_uring_buf_ring_add, io_uring_buf_ring_advance, io_uring_buf_ring_init,
    io_uring_buf_ring_mask, io_uring_enable_rings, io_uring_free_probe,
    io_uring_get_probe_ring, io_uring_get_sqe, io_uring_opcode_supported,
    io_uring_params, io_uring_prep_cancel64, io_uring_prep_cancel_fd,
    io_uring_prep_poll_multishot, io_uring_prep_recv_multishot, io_uring_probe,
    io_uring_queue_exit, io_uring_queue_init_params, io_uring_register_buf_ring,
    io_uring_sqe, io_uring_sqe_set_flags,
)

cdef enum:
    # Small enough for the tightest RLIMIT_MEMLOCK that allows a ring at all.
    RING_SIZE = 8

RING_ENTRIES = RING_SIZE

# Set-up flags, newest first.  They are dropped in this order, one by one, until
# the kernel accepts the rest.
SETUP_FLAGS = (
    ("defer_taskrun", IORING_SETUP_DEFER_TASKRUN),
    ("single_issuer", IORING_SETUP_SINGLE_ISSUER),
    ("submit_all", IORING_SETUP_SUBMIT_ALL),
    ("r_disabled", IORING_SETUP_R_DISABLED),
    ("clamp", IORING_SETUP_CLAMP),
    ("cqsize", IORING_SETUP_CQSIZE),
)

cdef enum:
    BUFFER_COUNT = 8
    BUFFER_BYTES = 64
    BUFFER_GROUP = 1

# A generous guess.  Every completion is caused by this same thread and is there at
# once.  We wait only if the kernel never posts it, or if the machine is too busy to
# run us; and a busy machine must not cost a feature.
cdef long long ANSWER_NS = 1_000_000_000

# One operation of each kind is enough, so its kind serves as its user_data.
cdef enum Op:
    RECV = 1
    POLL
    CANCEL
    NO_OP       # nothing is ever submitted with this one


class _Refused(Exception):
    """The kernel refused something that every io_uring can do."""

    def __init__(self, errno, step):
        super().__init__(errno, step)
        self.errno = errno
        self.step = step


cdef class _Trial:
    """One small ring and the completions that came back on it.

    ``in_kernel`` holds the operations whose last completion has not come.
    The lent memory is freed only when that set is empty: otherwise the kernel
    may still write there, and leaking two pages is the lesser harm.
    """
    cdef:
        io_uring ring
        bint ring_is_up
        char *lent              # owned: the buffer ring's page, then the buffers
        Py_ssize_t page_bytes
        set in_kernel           # of Op
        dict answers            # Op -> [(res, flags), ...] not yet returned
        set features
        unsigned int setup_flags, announced

    def __cinit__(self):
        self.in_kernel = set()
        self.answers = {}
        self.features = set()
        self.page_bytes = sysconf(_SC_PAGESIZE)

    cdef close(self):
        if self.ring_is_up:
            io_uring_queue_exit(&self.ring)
            self.ring_is_up = False
        if not self.in_kernel:
            free(self.lent)
        self.lent = NULL

    cdef found(self, error=0, step=""):
        return Findings(frozenset(self.features), self.setup_flags, error, step)

    # -- submissions and completions -----------------------------------------

    cdef io_uring_sqe *ask(self, Op op) except NULL:
        """The next entry, to be filled in; its user_data must then be set to op."""
        cdef io_uring_sqe *sqe = io_uring_get_sqe(&self.ring)
        # The queue holds eight, and no step leaves two unsubmitted.
        if sqe is NULL:
            raise AssertionError("the probe has filled its own submission queue")
        self.in_kernel.add(op)
        return sqe

    cdef answer(self, Op op, long long wait_ns=ANSWER_NS):
        """Submit and return op's next ``(res, flags)``, or None if none comes in time."""
        cdef int result
        deadline_ns = time.monotonic_ns() + wait_ns
        while True:
            self.reap()
            if self.answers.get(op):
                return self.answers[op].pop(0)
            with nogil:
                result = enter(&self.ring, wait_ns)
            if result < 0 and result not in (-errnos.ETIME, -errnos.EINTR):
                raise _Refused(-result, "submit to an io_uring")
            if self.reap() == 0 and time.monotonic_ns() >= deadline_ns:
                return None

    cdef unsigned int reap(self):
        """Sort the completions on the ring by operation; returns how many there were."""
        cdef:
            Completion batch[2 * RING_SIZE]
            unsigned int index, count = reap_into(&self.ring, batch, 2 * RING_SIZE)
        for index in range(count):
            op = <Op> <size_t> batch[index].op
            answers = self.answers.setdefault(op, [])
            answers.append((batch[index].result, batch[index].flags))
            if not batch[index].flags & IORING_CQE_F_MORE:
                self.in_kernel.discard(op)
        return count

    cdef last_answer(self, Op op):
        """Op's last answer, after which the kernel does not hold it; None if none comes."""
        while True:
            answer = self.answer(op)
            if answer is None or not answer[1] & IORING_CQE_F_MORE:
                return answer

    cdef cancel(self, Op op):
        """Cancel op unless it has ended.  The cancel's own answer proves nothing."""
        cdef io_uring_sqe *sqe
        if op not in self.in_kernel:
            return
        sqe = self.ask(CANCEL)
        io_uring_prep_cancel64(sqe, op, 0)
        sqe.user_data = CANCEL
        self.answer(CANCEL)
        answer = self.last_answer(op)
        if answer is not None and answer[0] == -errnos.ECANCELED:
            self.features.add("cancel")

    # -- the steps ------------------------------------------------------------

    cdef set_up(self, flags):
        """Set up the ring with as many of the flags as the kernel accepts together."""
        cdef io_uring_params params
        wanted = list(flags)
        step = f"set up an io_uring of {RING_ENTRIES} entries"
        while True:
            memset(&params, 0, sizeof(params))
            for _, flag in wanted:
                params.flags |= flag
            params.cq_entries = 2 * RING_ENTRIES
            result = io_uring_queue_init_params(RING_ENTRIES, &self.ring, &params)
            if result == 0:
                break
            # The kernel answers EINVAL to a flag that it does not know.
            if result != -errnos.EINVAL or not wanted:
                raise _Refused(-result, step)
            del wanted[0]
        self.ring_is_up = True
        # Not params.flags: newer versions of liburing add a flag for internal use.
        self.setup_flags = sum(flag for _, flag in wanted)
        self.announced = params.features
        self.features.update(name for name, _ in wanted)
        if params.flags & IORING_SETUP_R_DISABLED:
            result = io_uring_enable_rings(&self.ring)
            if result < 0:
                raise _Refused(-result, "enable an io_uring")

    cdef read_announcements(self):
        """Features that the kernel announces, where trying would cost too much."""
        cdef io_uring_probe *opcodes
        for name, bit in (
            ("nodrop", IORING_FEAT_NODROP),
            ("recvsend_bundle", IORING_FEAT_RECVSEND_BUNDLE),
            ("min_timeout", IORING_FEAT_MIN_TIMEOUT),
        ):
            if self.announced & bit:
                self.features.add(name)
        opcodes = io_uring_get_probe_ring(&self.ring)
        if opcodes is not NULL:
            if io_uring_opcode_supported(opcodes, IORING_OP_SEND_ZC):
                self.features.add("send_zc")
            io_uring_free_probe(opcodes)

    cdef bint wait_no_longer_than_told(self) except -1:
        """Try a timeout.  Without EXT_ARG liburing would submit an operation for it."""
        if not self.announced & IORING_FEAT_EXT_ARG:
            return False
        self.answer(NO_OP, wait_ns=1)
        self.features.add("ext_arg")
        return True

    cdef lend_buffers(self):
        cdef:
            io_uring_buf_reg reg
            io_uring_buf_ring *buffers
            int index
        size = 2 * self.page_bytes
        if posix_memalign(<void **> &self.lent, self.page_bytes, size) != 0:
            raise _Refused(errnos.ENOMEM, "allocate two pages")
        memset(self.lent, 0, size)
        memset(&reg, 0, sizeof(reg))
        reg.ring_addr = <uint64_t> self.lent
        reg.ring_entries = BUFFER_COUNT
        reg.bgid = BUFFER_GROUP
        result = io_uring_register_buf_ring(&self.ring, &reg, 0)
        if result == -errnos.EINVAL:
            return
        if result < 0:
            raise _Refused(
                -result, f"register {BUFFER_COUNT} receive buffers with an io_uring")
        buffers = <io_uring_buf_ring *> self.lent
        io_uring_buf_ring_init(buffers)
        for index in range(BUFFER_COUNT):
            io_uring_buf_ring_add(
                buffers, self.buffer(index), BUFFER_BYTES, index,
                io_uring_buf_ring_mask(BUFFER_COUNT), index)
        io_uring_buf_ring_advance(buffers, BUFFER_COUNT)
        self.features.add("buffer_rings")

    cdef char *buffer(self, int index) noexcept:
        return self.lent + self.page_bytes + index * BUFFER_BYTES

    cdef bint has_received(self, bytes data) except -1:
        """Did the armed recv deliver exactly this, into a lent buffer, and stay armed?"""
        cdef int index
        answer = self.answer(RECV)
        if answer is None:
            return False
        res, flags = answer
        if not flags & IORING_CQE_F_MORE or not flags & IORING_CQE_F_BUFFER:
            return False
        index = flags >> IORING_CQE_BUFFER_SHIFT
        if res != len(data) or index >= BUFFER_COUNT:
            return False
        return memcmp(self.buffer(index), <char *> data, len(data)) == 0

    cdef receive(self, ours, peer):
        cdef io_uring_sqe *sqe
        if "buffer_rings" not in self.features:
            return
        sqe = self.ask(RECV)
        io_uring_prep_recv_multishot(sqe, ours.fileno(), NULL, 0, 0)
        io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT)
        sqe.buf_group = BUFFER_GROUP
        sqe.user_data = RECV
        peer.send(b"sent")
        if self.has_received(b"sent"):
            peer.send(b"once more")
            if self.has_received(b"once more"):
                self.features.add("recv_multishot")
        self.cancel(RECV)

    cdef poll(self, ours, peer):
        self.arm_poll(ours)
        peer.send(b"readable")
        answer = self.answer(POLL)
        if answer is None:
            return
        res, flags = answer
        if res > 0 and res & select.POLLIN and flags & IORING_CQE_F_MORE:
            self.features.add("poll_multishot")
        self.cancel(POLL)
        if POLL not in self.in_kernel:
            self.arm_poll(ours)
            self.cancel_by_descriptor(POLL, ours.fileno())
            self.cancel(POLL)

    cdef arm_poll(self, ours):
        cdef io_uring_sqe *sqe = self.ask(POLL)
        io_uring_prep_poll_multishot(sqe, ours.fileno(), select.POLLIN)
        sqe.user_data = POLL

    cdef cancel_by_descriptor(self, Op op, int fd):
        cdef io_uring_sqe *sqe = self.ask(CANCEL)
        io_uring_prep_cancel_fd(sqe, fd, 0)
        sqe.user_data = CANCEL
        answer = self.answer(CANCEL)
        # EINVAL: the kernel does not know the flag, so this will not end op.
        if answer is None or answer[0] == -errnos.EINVAL:
            return
        if self.last_answer(op) is not None:
            self.features.add("cancel_fd")


def probe(flags=SETUP_FLAGS):
    """Set up a small io_uring, use it, close it and return what was found.

    Takes half a millisecond if everything works, and a second more for each
    completion that never comes.  A refusal by the kernel is a finding; it is
    not raised.
    """
    cdef _Trial trial = _Trial()
    try:
        trial.set_up(flags)
        trial.read_announcements()
        if trial.wait_no_longer_than_told():
            trial.lend_buffers()
            ours, peer = socket.socketpair()
            with ours, peer:
                trial.receive(ours, peer)
                trial.poll(ours, peer)
    except _Refused as refused:
        return trial.found(refused.errno, refused.step)
    except OSError as error:
        return trial.found(error.errno, "create sockets to probe io_uring with")
    finally:
        trial.close()
    return trial.found()


# The process that probed, and what it found.
_known = (0, None)


def findings():
    """What :func:`probe` found in this process; probes only if necessary.

    A forked child probes for itself, since it may run under another filter.  A
    failure that may be temporary is not remembered.
    """
    global _known
    pid, found = _known
    if found is None or pid != os.getpid():
        found = probe()
        if not found.may_pass:
            _known = os.getpid(), found
    return found

from cpython.object cimport PyObject

from aioadapt._kernel.liburing cimport io_uring_sqe


cdef enum OpState:
    OP_IDLE          # ours: its memory may be read, reused or freed
    OP_IN_KERNEL     # the kernel may use its memory at any moment
    OP_CANCELLING    # a cancel was requested; the kernel's until the last completion


cdef class Op:
    cdef:
        OpState state
        unsigned char cancels_missed      # cancels since begin that did not find it
        unsigned char cancels_in_flight   # each keeps the operation alive too
        bint last_is_reaped               # the last completion is in the batch, not yet run
        int fd                            # borrowed
        # The ring's list of operations that have begun and not finished.
        # Borrowed: each of them keeps itself alive.
        PyObject *older
        PyObject *newer

    cdef void prepare(self, io_uring_sqe *sqe) noexcept
    cdef int completed(self, int result, unsigned flags, bint last) except -1
    cdef void begin(self) noexcept
    cdef void finish(self) noexcept


cdef inline bint is_idle(Op op) noexcept:
    return op is None or op.state == OP_IDLE


cdef inline bint kernel_may_use(Op op) noexcept:
    """The memory and the descriptor of the operation."""
    return not is_idle(op) and not op.last_is_reaped

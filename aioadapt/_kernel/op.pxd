from cpython.object cimport PyObject

from aioadapt._kernel.liburing cimport io_uring_sqe


cdef enum OpState:
    OP_IDLE          # ours: its memory may be read, reused or freed
    OP_IN_KERNEL     # the kernel may use its memory at any moment
    OP_CANCELLING    # still the kernel's, until the last completion says otherwise


cdef class Op:
    cdef:
        OpState state
        unsigned char cancels_missed   # cancels of this run that found nothing
        unsigned char cancels_in_flight   # each keeps the operation alive too
        bint last_is_reaped         # it lies in the batch and has still to run
        int fd                         # borrowed
        # The list of what its ring has begun and not finished; borrowed, for
        # each of them keeps itself alive.
        PyObject *older
        PyObject *newer

    cdef void prepare(self, io_uring_sqe *sqe) noexcept
    cdef int completed(self, int result, unsigned flags, bint last) except -1
    cdef void begin(self) noexcept
    cdef void finish(self) noexcept

"""Operations that the kernel may be holding.

    OP_IDLE --begin--> OP_IN_KERNEL --cancel--> OP_CANCELLING
       ^                     |                        |
       '------ finish: the last completion is here ---'

``begin`` takes one reference on the kernel's behalf and ``finish`` drops it.
Nothing else does.  So an operation cannot be freed while the kernel can write
into its memory, whatever has happened to the transport that started it.  Its
address can therefore serve as ``user_data``: no other object can have that
address while this one is alive.

The last completion is the one without the MORE flag.  A multishot operation
has many before it.

Requesting a cancel does not change ownership.  A cancelled recv may still
complete with bytes in its buffer; those bytes have left the socket and exist
nowhere else.
"""

from cpython.ref cimport Py_DECREF, Py_INCREF

from aioadapt._kernel.liburing cimport io_uring_sqe

cdef tuple WORDS = ("idle", "in the kernel", "in the kernel, cancel requested")


cdef class Op:
    """One operation; once finished, it may be begun again."""

    def __cinit__(self):
        self.state = OP_IDLE
        self.fd = -1

    def __repr__(self):
        return f"<{type(self).__name__} fd={self.fd}: {WORDS[<int> self.state]}>"

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        """Fill in the submission entry; called once for each begin."""

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        """Handle a completion; they come in the order in which the kernel posted them.

        If *last*, the operation is already idle and may be begun again.
        """
        return 0

    cdef void begin(self) noexcept:
        self.state = OP_IN_KERNEL
        self.cancels_missed = 0
        self.last_is_reaped = False
        Py_INCREF(self)

    cdef void finish(self) noexcept:
        self.state = OP_IDLE
        Py_DECREF(self)

cimport cython
from cpython.object cimport PyObject

from aioadapt._kernel.liburing cimport Completion, io_uring
from aioadapt._kernel.op cimport Op
from aioadapt._kernel.receive_buffers cimport ReceiveBuffers


@cython.no_gc_clear
cdef class Ring:
    cdef:
        io_uring ring
        bint is_open
        unsigned long long fork_generation
        bint enabled                  # SINGLE_ISSUER binds the ring then
        readonly unsigned setup_flags
        readonly int thread_id        # the kernel's number of the thread it is bound to
        readonly ReceiveBuffers buffers
        Completion *batch             # owned; what dispatch has still to run
        Completion *others            # owned; room to sort a batch in
        int next_completion, last_completion
        list backlog                  # (op, is_cancel) for which there was no place
        PyObject *newest              # borrowed; the list of operations that are not idle
        readonly int in_kernel        # operations begun whose last completion is not here
        readonly int cancelling       # of those, asked to end early
        readonly int cancels_in_flight
        readonly unsigned long long cancels, overflows, enters, submitted

    cdef int enable(self) except -1
    cdef int begin(self, Op op) except -1
    cdef int cancel(self, Op op) except -1
    cdef int submit_now(self) except -1
    cdef int wait(self, long long timeout_ns, int at_most) except -1
    cdef bint has_completions(self) noexcept
    cdef bint dispatch_next(self) except -1
    cdef int run(self, Completion completion) except -1
    cdef int finish_cancels(self) except -1
    cdef int queue(self, Op op, bint is_cancel) except -1
    cdef int queue_backlog(self) except -1
    cdef int check_entered(self, int result) except -1
    cdef int reap(self, int at_most) except -1
    cdef int cancel_answered(self, Op op, int result) except -1
    cdef void began(self, Op op) noexcept
    cdef void finished(self, Op op) noexcept
    cdef int close_without_entering(self) except -1
    cdef void close_in_child(self) noexcept

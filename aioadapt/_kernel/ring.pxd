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
        bint enabled                  # and so, with SINGLE_ISSUER, bound to a thread
        readonly unsigned setup_flags
        readonly int thread_id        # kernel ID of the thread it is bound to
        readonly ReceiveBuffers buffers
        Completion *batch             # owned; reaped and not yet dispatched
        Completion *others            # owned; scratch space for sorting a batch
        int next_completion, last_completion
        list backlog                  # (op, is_cancel) that found the submission queue full
        PyObject *newest              # borrowed; head of the list of operations not idle
        readonly int in_kernel        # operations begun, last completion not reaped yet
        readonly int cancelling       # those of them with a cancel requested
        readonly int cancels_in_flight
        readonly unsigned long long cancels, overflows, enters, submitted

    cdef int enable(self) except -1
    cdef int begin(self, Op op) except -1
    cdef int cancel(self, Op op) except -1
    cdef int submit_now(self) except -1
    cdef int wait(self, long long timeout_ns, int at_most) except -1
    cdef bint has_completions(self) noexcept
    cdef bint dispatch_next(self) except -1
    cdef bint take_next(self, Op op, Completion *taken) noexcept
    cdef int run(self, Completion completion) except -1
    cdef int reap_all(self) except -1
    cdef int cancelled_first(self) except -1
    cdef int queue(self, Op op, bint is_cancel) except -1
    cdef int queue_backlog(self) except -1
    cdef int check_entered(self, int result) except -1
    cdef int reap(self, int at_most) except -1
    cdef int cancel_answered(self, Op op, int result) except -1
    cdef void began(self, Op op) noexcept
    cdef void finished(self, Op op) noexcept
    cdef int close_without_entering(self) except -1
    cdef void close_in_child(self) noexcept

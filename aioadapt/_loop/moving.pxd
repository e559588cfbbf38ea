from aioadapt._loop.core cimport LoopCore
from aioadapt._loop.inbox cimport Inbox


cdef enum ReleaseStep:
    RELEASE_RAISED
    NOT_QUIET        # tried again when the next iteration ends
    NOT_ADMITTED     # quiet, but its release handler said no
    SETTLES          # quiet and not reading; released after one whole iteration
    RELEASE_OVER     # released, closed or cancelled


cdef class ReleaseRequest:
    cdef:
        bint is_queued               # in the loop's release_queue
        object admission_group       # those that share one are admitted together; or None

    cdef bint could_release(self) noexcept
    cdef bint settles(self) noexcept
    cdef ReleaseStep release_if_quiet(self) except RELEASE_RAISED


cdef class MovingCore(LoopCore):
    cdef:
        list release_queue           # ReleaseRequest: streams to be released when quiet
        Inbox yielding_to            # of another loop, which should run before us
        long long latency_mode_until_ns   # iterations are short until then

    cdef int queue_release(self, ReleaseRequest request) except -1
    cdef int release_quiet(self) except -1
    cdef int yield_to_other(self) except -1
    cdef void yield_gil(self) noexcept
    cdef int run_release_queue(self, bint only_settling) except -1
    cdef bint any_could_release(self) noexcept
    cdef bint any_settles(self) noexcept

cimport cython


cdef class FlushHook:
    cdef:
        bint is_queued               # in one of the loop's two queues
        FlushHook next               # in it

    cdef int flush(self) except -1


@cython.final
cdef class HookQueue:
    cdef FlushHook first, last

    cdef void add(self, FlushHook hook) noexcept
    cdef FlushHook take(self)
    cdef int run(self) except -1
    cdef int run_once(self) except -1
    cdef void clear(self) noexcept


cdef enum ReleaseStep:
    RELEASE_RAISED
    NOT_QUIET        # tried again when the next iteration ends
    NOT_ADMITTED     # quiet, but its release handler said no
    SETTLING         # quiet and not reading; released after one whole iteration
    RELEASE_OVER     # released, closed or cancelled


cdef class Detachable(FlushHook):
    cdef:
        bint is_release_queued       # in the loop's release_queue
        bint is_settling             # quiet: does not read for one whole iteration
        object admission_group       # streams that share one are admitted together; or None

    cdef bint could_release(self) noexcept
    cdef ReleaseStep release_if_quiet(self) except RELEASE_RAISED

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

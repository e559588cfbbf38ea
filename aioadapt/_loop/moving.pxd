from aioadapt._loop.core cimport LoopCore


cdef class MovingCore(LoopCore):
    cdef int run_release_queue(self, bint only_settling) except -1
    cdef bint any_could_release(self) noexcept
    cdef bint any_settling(self) noexcept

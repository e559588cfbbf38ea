from aioadapt._engine.uring.core cimport UringCore
from aioadapt._kernel.poller cimport Watch


cdef class AdaptiveCore(UringCore):
    cdef:
        Watch wakeup_watch

    cdef bint ring_waits(self) noexcept

from aioadapt._engine.uring.core cimport UringCore
from aioadapt._kernel.poller cimport Watch


cdef class AdaptiveCore(UringCore):
    cdef:
        Watch wakeup_watch
        long long looks_at_ns        # when the controller looks next
        public double tick_s         # how long after that again; 0: never

    cdef bint ring_waits(self) noexcept

from aioadapt._engine.uring.core cimport UringCore
from aioadapt._kernel.poller cimport Watch


cdef class AdaptiveCore(UringCore):
    cdef:
        Watch wakeup_watch
        long long looks_at_ns        # when the controller looks next
        long long tick_ns            # how long after that again
        bint is_following            # connections follow the preferred engine

    cdef bint ring_waits(self) noexcept
    cdef int reap_both(self, long long timeout_ns, int at_most) except -1
    cdef int let_look(self) except -1

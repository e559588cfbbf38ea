from aioadapt._engine.uring.core cimport UringCore
from aioadapt._kernel.poller cimport Watch


cdef class AdaptiveCore(UringCore):
    cdef:
        Watch wakeup_watch
        long long looks_at_ns        # when the controller looks next
        long long tick_ns            # how long after that again
        bint is_following            # connections follow the preferred engine
        long long acts_at_ns         # when either has something to do

    cdef bint ring_waits(self) noexcept
    cdef int reap_both(self, long long timeout_ns, int at_most) except -1
    cdef int adapt(self) except -1

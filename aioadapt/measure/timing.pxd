"""Which connection is due when, and how long responses took, in plain C arrays."""

cdef class Due:
    cdef:
        long long *times         # owned; a heap, earliest first
        int *indices             # owned; parallel to times
        int count, room

    cdef void add(self, long long when_ns, int index) noexcept nogil
    cdef long long first(self) noexcept nogil
    cdef int take(self) noexcept nogil

cdef class Latencies:
    cdef:
        long long *values        # owned; nanoseconds
        long long *by_time       # owned; the number of responses in each slot
        long long count, room, slots
        long long start_ns
        bint short_of_memory

    cdef void begin(self, long long start_ns) noexcept nogil
    cdef void add(self, long long now_ns, long long took_ns) noexcept nogil

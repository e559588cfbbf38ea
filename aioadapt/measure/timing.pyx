"""A heap of due times, and every single latency of a run.

Percentiles are exact: each response's latency is kept, and they are sorted at the
end, outside the measured time.
"""

from libc.math cimport ceil
from libc.stdlib cimport free, malloc, qsort, realloc

cdef enum:
    SLOTS = 36_000               # an hour of tenths of a second

cdef long long SLOT_NS = 100_000_000
cdef long long NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Due:
    """At most *room* indices, each at most once, which the caller ensures."""

    def __cinit__(self, int room):
        self.room = room
        self.times = <long long *> malloc(max(room, 1) * sizeof(long long))
        self.indices = <int *> malloc(max(room, 1) * sizeof(int))
        if self.times == NULL or self.indices == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.times)
        free(self.indices)

    cdef void add(self, long long when_ns, int index) noexcept nogil:
        cdef int at = self.count
        cdef int parent
        if at >= self.room:
            return
        self.count += 1
        while at > 0:
            parent = (at - 1) // 2
            if self.times[parent] <= when_ns:
                break
            self.times[at] = self.times[parent]
            self.indices[at] = self.indices[parent]
            at = parent
        self.times[at] = when_ns
        self.indices[at] = index

    cdef long long first(self) noexcept nogil:
        return self.times[0] if self.count else NEVER

    cdef int take(self) noexcept nogil:
        cdef int index = self.indices[0]
        cdef int at = 0
        cdef int child
        cdef long long when_ns
        cdef int last
        self.count -= 1
        if self.count == 0:
            return index
        when_ns = self.times[self.count]
        last = self.indices[self.count]
        while True:
            child = 2 * at + 1
            if child >= self.count:
                break
            if child + 1 < self.count and self.times[child + 1] < self.times[child]:
                child += 1
            if when_ns <= self.times[child]:
                break
            self.times[at] = self.times[child]
            self.indices[at] = self.indices[child]
            at = child
        self.times[at] = when_ns
        self.indices[at] = last
        return index


cdef class Latencies:
    """The latencies of a run; usable from Python, so that tests can check percentiles."""

    def __cinit__(self):
        self.by_time = <long long *> malloc(SLOTS * sizeof(long long))
        if self.by_time == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.values)
        free(self.by_time)

    cdef void begin(self, long long start_ns) noexcept nogil:
        self.start_ns = start_ns
        self.count = 0
        self.slots = 0
        self.short_of_memory = False

    cdef void add(self, long long now_ns, long long took_ns) noexcept nogil:
        cdef long long slot = (now_ns - self.start_ns) // SLOT_NS
        cdef long long room
        cdef void *values
        if self.count == self.room:
            room = max(<long long> 65_536, 2 * self.room)
            values = realloc(self.values, room * sizeof(long long))
            if values == NULL:
                self.short_of_memory = True
                return
            self.values = <long long *> values
            self.room = room
        self.values[self.count] = took_ns
        self.count += 1
        if 0 <= slot < SLOTS:
            while self.slots <= slot:
                self.by_time[self.slots] = 0
                self.slots += 1
            self.by_time[slot] += 1

    def figures(self):
        """``p50_s``, ``p99_s``, ``p999_s`` and so on, by nearest rank; and counts per slot."""
        cdef long long total_ns = 0
        cdef long long i
        if self.short_of_memory:
            raise MemoryError(f"no memory for more than {self.count} latencies")
        qsort(self.values, self.count, sizeof(long long), ascending)
        for i in range(self.count):
            total_ns += self.values[i]
        return {
            "requests": self.count,
            "mean_s": total_ns / 1e9 / self.count if self.count else 0.0,
            "p50_s": self.percentile_s(50),
            "p99_s": self.percentile_s(99),
            "p999_s": self.percentile_s(99.9),
            "max_s": self.percentile_s(100),
            "per_slot": [self.by_time[i] for i in range(self.slots)],
            "slot_s": SLOT_NS / 1e9,
        }

    def percentile_s(self, double percent):
        """Of the values, which ``figures`` must have sorted."""
        if self.count == 0:
            return 0.0
        # A rounding error in the last place must not raise a whole rank by one.
        rank = <long long> ceil(round(percent * self.count, 6) / 100)
        return self.values[max(rank, 1) - 1] / 1e9

    def keep(self, took_s):
        """Add made-up latencies, in seconds; for tests."""
        for each in took_s:
            self.add(self.start_ns, <long long> (each * 1e9 + 0.5))


cdef int ascending(const void *one, const void *other) noexcept nogil:
    cdef long long a = (<const long long *> one)[0]
    cdef long long b = (<const long long *> other)[0]
    return (a > b) - (a < b)

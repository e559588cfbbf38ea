"""HTTP requests whose path numbers them and gives the size of the response.

``GET /CONNECTION/SEQUENCE/BYTES``; see :mod:`aioadapt.measure.wire`.  A response
names the request that it belongs to, so faults are counted by kind and the load goes
on.
"""

from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free

from aioadapt.measure.answer cimport IDENTITY_BYTES, begin
from aioadapt.measure.answer cimport read as read_response
from aioadapt.measure.dice cimport roll, seeded


cdef class Paths(Workload):
    """Requests bodies cut from *pattern*, see :func:`aioadapt.measure.wire.pattern`."""

    def __init__(self, bytes pattern not None, *, unsigned long long seed=1):
        self._pattern = pattern
        self.pattern = pattern
        self.pattern_bytes = len(pattern)
        self.dice = seeded(seed)
        self.for_run()

    def __dealloc__(self):
        free(self.paths)

    def for_run(
        self, *, long long body_bytes=128, long long large_bytes=0, double large_share=0.0
    ):
        """Set the parameters of the next run.

        Args:
            body_bytes: size of the response bodies, at least 24.
            large_bytes: size of some of them, a share of *large_share*.
        """
        if body_bytes < IDENTITY_BYTES or large_bytes and large_bytes < IDENTITY_BYTES:
            raise ValueError(f"a response body has at least {IDENTITY_BYTES} bytes")
        self.body_bytes, self.large_bytes = body_bytes, large_bytes
        self.large_below = <unsigned long long> (
            min(max(large_share if large_bytes else 0.0, 0.0), 1.0) * 4294967295.0)

    cdef int prepare(self, int most) except -1:
        self.paths = <Path *> calloc(max(most, 1), sizeof(Path))
        if self.paths == NULL:
            raise MemoryError
        return 0

    cdef void connected(self, int index) noexcept nogil:
        cdef Path *path = &self.paths[index]
        self.numbers += 1
        path.wanted.connection = self.numbers
        path.wanted.sequence = 0
        begin(&path.answer)

    cdef void ask(self, int index, const char **request, size_t *size) noexcept nogil:
        cdef Path *path = &self.paths[index]
        path.wanted.sequence += 1
        path.wanted.body_bytes = self.body_bytes
        if self.large_below and roll(&self.dice) < self.large_below:
            path.wanted.body_bytes = self.large_bytes
        request[0] = path.request
        size[0] = snprintf(
            path.request, REQUEST_BYTES, b"GET /%lld/%lld/%lld HTTP/1.1\r\nhost: load\r\n\r\n",
            path.wanted.connection, path.wanted.sequence, path.wanted.body_bytes)

    cdef Verdict read(self, int index, const char **data, size_t *size) noexcept nogil:
        cdef Path *path = &self.paths[index]
        return read_response(
            &path.answer, data, size, &path.wanted, self.pattern, self.pattern_bytes)

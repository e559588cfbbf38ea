"""Responses that are known byte for byte when their request is sent.

Every byte is compared in the buffer that it was received into.  Such responses have
no structure to resynchronise by: after a wrong byte, where the next one begins is
unknown.  So the first fault ends the run, and the error says what was wrong.
"""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from aioadapt.measure.dice cimport roll, seeded
from aioadapt.measure.workload cimport GARBLED, RIGHT, UNFINISHED


cdef class Known(Workload):
    """The base of both: compares what came with ``answer``."""

    def __cinit__(self, *args, **kwargs):
        self.strict = True

    def __dealloc__(self):
        free(self.received)

    cdef int prepare(self, int most) except -1:
        self.most = most
        self.received = <size_t *> calloc(max(most, 1), sizeof(size_t))
        if self.received == NULL:
            raise MemoryError
        return 0

    cdef void connected(self, int index) noexcept nogil:
        self.received[index] = 0

    cdef const char *answer(self, int index) noexcept nogil:
        return NULL

    cdef Verdict read(self, int index, const char **data, size_t *size) noexcept nogil:
        cdef size_t at = self.received[index]
        cdef size_t left = self.answer_bytes - at
        cdef size_t got = size[0]
        cdef const char *expected = self.answer(index) + at
        if memcmp(data[0], expected, min(got, left)) != 0:
            self.wrong = A_BYTE
            self.wrong_at = at + first_difference(data[0], expected)
            return GARBLED
        if got > left:
            self.wrong = TOO_LONG
            return GARBLED
        if self.datagrams and got < left:
            self.wrong = TOO_SHORT
            self.wrong_at = got
            return GARBLED
        data[0] += got
        size[0] = 0
        if got < left:
            self.received[index] += got
            return UNFINISHED
        self.received[index] = 0
        return RIGHT

    def complaint(self):
        if self.wrong == A_BYTE:
            return f"wrong byte at offset {self.wrong_at} of a response"
        if self.wrong == TOO_LONG:
            return f"a response is longer than {self.answer_bytes} bytes"
        return f"a datagram of {self.wrong_at} bytes, not {self.answer_bytes}"


cdef class Echo(Known):
    """A request of *size_bytes* comes back as it was sent.

    Its first eight bytes are the number of the operation, counted over all
    connections, so the response to any other request is wrong.  The rest is
    random, and different for each connection, so a shifted or repeated slice
    is wrong as well.
    """

    def __init__(self, size_t size_bytes, *, bint datagrams=False):
        if size_bytes < 1:
            raise ValueError("an echo needs at least one byte")
        if datagrams and size_bytes > 65_507:
            raise ValueError(f"{size_bytes} bytes: a datagram has at most 65,507")
        self.size_bytes = self.answer_bytes = size_bytes
        self.datagrams = datagrams

    def __dealloc__(self):
        free(self.requests)

    cdef int prepare(self, int most) except -1:
        cdef size_t at
        cdef unsigned long long dice = seeded(1)
        Known.prepare(self, most)
        self.requests = <char *> malloc(max(most, 1) * self.size_bytes)
        if self.requests == NULL:
            raise MemoryError
        for at in range(most * self.size_bytes):
            self.requests[at] = <char> roll(&dice)
        return 0

    cdef const char *answer(self, int index) noexcept nogil:
        return self.requests + index * self.size_bytes

    cdef void ask(self, int index, const char **request, size_t *size) noexcept nogil:
        cdef char *start = self.requests + index * self.size_bytes
        self.number += 1
        memcpy(start, &self.number, min(sizeof(self.number), self.size_bytes))
        request[0] = start
        size[0] = self.size_bytes


cdef class Fixed(Known):
    """Every request is *request*, and every response must be *answer*."""

    def __init__(self, bytes request not None, bytes answer not None):
        if not request or not answer:
            raise ValueError("a request and a response need at least one byte")
        self._request, self._answer = request, answer
        self.request_start, self.request_bytes = request, len(request)
        self.answer_start, self.answer_bytes = answer, len(answer)

    cdef const char *answer(self, int index) noexcept nogil:
        return self.answer_start

    cdef void ask(self, int index, const char **request, size_t *size) noexcept nogil:
        request[0] = self.request_start
        size[0] = self.request_bytes


cdef size_t first_difference(const char *one, const char *other) noexcept nogil:
    """The offset of the first byte that differs; one must."""
    cdef size_t at = 0
    while one[at] == other[at]:
        at += 1
    return at

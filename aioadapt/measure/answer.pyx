"""Reads responses, in whatever pieces they come, and judges them.

The body is compared in place and never kept.  The names of what can go wrong are
those of aioadapt's demo.  With one request in flight on each connection, a response
to an earlier request is a duplicate.
"""

from libc.string cimport memcmp, memcpy

from aioadapt.measure.workload cimport (
    DUPLICATED,
    FAILED,
    GARBLED,
    MISROUTED,
    RIGHT,
    UNFINISHED,
    Verdict,
)


cdef extern from "<string.h>" nogil:
    void *memmem(const void *where, size_t size, const void *what, size_t length)

cdef extern from "<strings.h>" nogil:
    int strncasecmp(const char *one, const char *other, size_t size)


cdef void begin(Answer *answer) noexcept nogil:
    answer.body_bytes = -1
    answer.read_bytes = 0
    answer.head_bytes = 0
    answer.differs = False


cdef Verdict read(
    Answer *answer, const char **data, size_t *size, const Wanted *wanted,
    const char *pattern, long long pattern_bytes,
) noexcept nogil:
    """Consume bytes of *data* until one response is complete or none are left."""
    cdef Verdict verdict
    if answer.body_bytes < 0:
        verdict = read_head(answer, data, size)
        if verdict != RIGHT:
            return verdict
    read_body(answer, data, size, pattern, pattern_bytes)
    if answer.read_bytes < answer.body_bytes:
        return UNFINISHED
    verdict = judge(answer, wanted)
    begin(answer)
    return verdict


cdef Verdict read_head(Answer *answer, const char **data, size_t *size) noexcept nogil:
    cdef const char *start = data[0]
    cdef const char *end
    cdef size_t taken = size[0]
    cdef size_t before = answer.head_bytes
    cdef size_t length
    if before:
        # Gather until the blank line is there; what comes after it is not consumed.
        taken = min(taken, HEAD_BYTES - before)
        memcpy(answer.head + before, start, taken)
        start = answer.head
        taken += before
    end = <const char *> memmem(start, taken, b"\r\n\r\n", 4)
    if end == NULL:
        if taken >= HEAD_BYTES:
            return GARBLED
        if not before:
            memcpy(answer.head, start, taken)
        answer.head_bytes = taken
        data[0] += size[0]
        size[0] = 0
        return UNFINISHED
    length = end - start + 4
    if not parse_head(answer, start, length - 2):
        return GARBLED
    data[0] += length - before
    size[0] -= length - before
    return RIGHT


cdef bint parse_head(Answer *answer, const char *head, size_t size) noexcept nogil:
    """*head* begins with the status line, and its last line ends at *size*."""
    cdef const char *line
    cdef const char *end = head + size
    if size < 14 or memcmp(head, b"HTTP/1.1 ", 9) != 0:
        return False
    answer.status = number(head + 9, 3)
    line = <const char *> memmem(head, size, b"\r\n", 2) + 2
    while line < end:
        if end - line > 15 and strncasecmp(line, b"content-length:", 15) == 0:
            line += 15
            while line < end and line[0] == c" ":
                line += 1
            answer.body_bytes = number(line, end - line)
            return answer.status >= 0 and answer.body_bytes >= 0
        line = <const char *> memmem(line, end - line, b"\r\n", 2) + 2
    return False


cdef long long number(const char *text, size_t size) noexcept nogil:
    """The number that *text* begins with; -1 if there is none."""
    cdef long long value = 0
    cdef size_t at = 0
    while at < size and at < 18 and c"0" <= text[at] <= c"9":
        value = value * 10 + (text[at] - c"0")
        at += 1
    return value if at else -1


cdef void read_body(
    Answer *answer, const char **data, size_t *size,
    const char *pattern, long long pattern_bytes,
) noexcept nogil:
    cdef long long part = min(<long long> size[0], answer.body_bytes - answer.read_bytes)
    cdef long long named = 0
    cdef long long start = answer.read_bytes
    if start < IDENTITY_BYTES:
        named = min(part, IDENTITY_BYTES - start)
        memcpy(answer.identity + start, data[0], named)
    if part > named and not answer.differs:
        answer.differs = (
            start + part > pattern_bytes
            or memcmp(data[0] + named, pattern + start + named, part - named) != 0
        )
    answer.read_bytes += part
    data[0] += part
    size[0] -= part


cdef Verdict judge(Answer *answer, const Wanted *wanted) noexcept nogil:
    cdef const char *identity = answer.identity
    cdef long long connection, sequence
    # An error page carries no numbers; it comes instead of the response.
    if answer.status != 200 or answer.body_bytes < IDENTITY_BYTES:
        return FAILED
    if identity[10] != c"/" or identity[23] != c"\n":
        return FAILED
    connection = number(identity, 10)
    sequence = number(identity + 11, 12)
    if connection < 0 or sequence < 0:
        return FAILED
    if connection != wanted.connection or sequence > wanted.sequence:
        return MISROUTED
    if sequence < wanted.sequence:
        return DUPLICATED
    if answer.body_bytes != wanted.body_bytes or answer.differs:
        return FAILED
    return RIGHT

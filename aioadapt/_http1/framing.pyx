# cython: auto_pickle=False
"""Finds where an HTTP/1 message ends, from the bytes alone, as they pass.

``advance`` consumes bytes up to the next event and returns it:

    BEGIN, HEAD, END, BEGIN, HEAD, END, ...     and MORE when the bytes run out

Bodies are counted, never kept.  The only bytes kept are those of a line whose
end has not come yet, up to LINE_LIMIT_BYTES; a line that lies whole in the
caller's bytes is read in place.  The events depend on the bytes alone, never on
how they were split.

This is not a parser that tries to make sense of its input.  Somebody else
parses the same bytes.  Where two parsers could see two different ends, or one
an end and the other an error, this one reports FAULT.  So lines end with CRLF
and nothing else, a length is one plain number given once, the only transfer
coding is ``chunked``, and a trailer says nothing about framing.
"""

cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy

from aioadapt._http1.grammar cimport (
    decimal,
    hexadecimal,
    hexadecimal_digits,
    is_chunk_extension,
    is_field_value,
    is_method,
    is_target,
    is_token,
    same_word,
    trim,
)


cdef class Framing:

    def __cinit__(self):
        self.part = BETWEEN

    def __dealloc__(self):
        free(self.half_line)

    cdef Event advance(self, const char **at, const char *end) noexcept:
        """Consume bytes from *at*, moving it, until there is an event to report."""
        cdef:
            int64_t taken
            const char *line
            Py_ssize_t n
            Event event
        if self.fault != NULL:
            return FAULT
        while True:
            if self.part == BODY_COUNTED or self.part == CHUNK_DATA:
                taken = min(self.left_bytes, <int64_t>(end - at[0]))
                at[0] += taken
                self.left_bytes -= taken
                if self.left_bytes > 0:
                    return MORE
                if self.part == BODY_COUNTED:
                    return self.end_of_message()
                self.part = CHUNK_END
            elif self.part == BODY_NONE:
                return self.end_of_message()
            elif self.part == BODY_TO_CLOSE:
                at[0] = end
                return MORE
            elif self.part <= EMPTY_LINES and self.half_line_bytes == 0:
                if at[0] == end:
                    return MORE
                if at[0][0] != b"\r" or not self.may_follow_empty_lines():
                    self.part = FIRST_LINE
                    return BEGIN
                self.part = EMPTY_LINES

            if not self.next_line(at, end, &line, &n):
                return MORE if self.fault == NULL else FAULT
            event = self.take_line(line, n)
            if event != MORE:
                return event

    cdef bint may_follow_empty_lines(self) noexcept:
        return False

    cdef const char *first_line(self, const char *line, Py_ssize_t n) noexcept:
        return NULL

    cdef Part body(self) noexcept:
        return BODY_NONE

    # ---- lines ----

    cdef bint next_line(
        self, const char **at, const char *end, const char **line, Py_ssize_t *n
    ) noexcept:
        """Take one line if it is complete; *line* is valid until the next call."""
        cdef:
            const char *lf = <const char*>memchr(at[0], b"\n", end - at[0])
            const char *start = at[0]
            Py_ssize_t piece = (lf if lf != NULL else end) - start
            Py_ssize_t whole = self.half_line_bytes + piece
        if lf != NULL:
            whole += 1
        at[0] = start + piece + (lf != NULL)
        # At least one more byte of an incomplete line is still to come.  So the
        # limits are reached at the same byte however the line is split.
        if (
            whole > LINE_LIMIT_BYTES + 1 + (lf != NULL)
            or self.head_bytes + whole > HEAD_LIMIT_BYTES
        ):
            self.refuse("a head over the size limits")
            return False
        if lf == NULL:
            self.keep_half_line(start, piece)
            return False
        self.head_bytes += whole
        if self.half_line_bytes > 0:
            if not self.keep_half_line(start, piece):
                return False
            start = self.half_line
            self.half_line_bytes = 0
        if whole < 2 or start[whole - 2] != b"\r":
            self.refuse("a line that ends without CR")
            return False
        line[0] = start
        n[0] = whole - 2
        return True

    cdef bint keep_half_line(self, const char *data, Py_ssize_t n) noexcept:
        cdef:
            Py_ssize_t needed = self.half_line_bytes + n
            Py_ssize_t capacity = max(self.half_line_capacity_bytes, 128)
            char *larger
        if n == 0:
            return True
        if needed > self.half_line_capacity_bytes:
            while capacity < needed:
                capacity *= 2
            larger = <char*>realloc(self.half_line, capacity)
            if larger == NULL:
                self.refuse("out of memory")
                return False
            self.half_line = larger
            self.half_line_capacity_bytes = capacity
        memcpy(self.half_line + self.half_line_bytes, data, n)
        self.half_line_bytes = needed
        return True

    cdef Event take_line(self, const char *line, Py_ssize_t n) noexcept:
        """Interpret a line; MORE if the message goes on with the next bytes."""
        cdef const char *fault = NULL
        if self.part == HEADER:
            if n > 0:
                fault = self.field_line(line, n)
            else:
                fault = self.end_of_head()
                if fault == NULL:
                    return HEAD
        elif self.part == FIRST_LINE:
            self.old = self.chunked = False
            self.says_close = self.says_keep_alive = self.says_upgrade = False
            self.length_bytes = -1
            fault = self.first_line(line, n)
            self.part = HEADER
        elif self.part == CHUNK_SIZE:
            fault = self.chunk_size_line(line, n)
        elif self.part == CHUNK_END:
            if n > 0:
                fault = "malformed chunk"
            self.part = CHUNK_SIZE
            self.head_bytes = 0
        elif self.part == TRAILER:
            if n == 0:
                return self.end_of_message()
            fault = self.field_line(line, n)
        elif n > 0:
            fault = "malformed request line"
        return MORE if fault == NULL else self.refuse(fault)

    # ---- the head ----

    cdef const char *field_line(self, const char *line, Py_ssize_t n) noexcept:
        cdef:
            const char *colon
            const char *value
            Py_ssize_t name_n, value_n
        if line[0] == b" " or line[0] == b"\t":
            return "a header folded over several lines"
        colon = <const char*>memchr(line, b":", n)
        if colon == NULL:
            return "malformed header"
        name_n = colon - line
        value = colon + 1
        value_n = n - name_n - 1
        if not is_token(line, name_n) or not is_field_value(value, value_n):
            return "malformed header"
        # Only names of these lengths say anything about framing; skip the others.
        if name_n < 7 or name_n > 17:
            return NULL
        return self.field(line, name_n, value, value_n)

    cdef const char *field(
        self,
        const char *name, Py_ssize_t name_n,
        const char *value, Py_ssize_t value_n,
    ) noexcept:
        if same_word(name, name_n, "content-length", 14):
            if self.part == TRAILER:
                return "a framing header in a trailer"
            if self.length_bytes >= 0:
                return "more than one Content-Length"
            trim(&value, &value_n)
            self.length_bytes = decimal(value, value_n)
            if self.length_bytes < 0:
                return "malformed Content-Length"
        elif same_word(name, name_n, "transfer-encoding", 17):
            if self.part == TRAILER:
                return "a framing header in a trailer"
            # One parser accepts "chunked" with a tab after it, another does not.
            while value_n > 0 and value[0] == b" ":
                value += 1
                value_n -= 1
            if self.chunked or not same_word(value, value_n, "chunked", 7):
                return "an unknown transfer coding"
            self.chunked = True
        elif (
            same_word(name, name_n, "connection", 10)
            or same_word(name, name_n, "proxy-connection", 16)
        ):
            # llhttp treats both names alike.
            if self.part == TRAILER:
                return "a framing header in a trailer"
            self.connection_field(value, value_n)
        elif same_word(name, name_n, "upgrade", 7):
            if self.part == TRAILER:
                return "a framing header in a trailer"
            self.says_upgrade = True
        return NULL

    cdef void connection_field(self, const char *value, Py_ssize_t n) noexcept:
        cdef:
            const char *comma
            const char *word
            Py_ssize_t word_n
        while n > 0:
            comma = <const char*>memchr(value, b",", n)
            word = value
            word_n = n if comma == NULL else comma - value
            n -= word_n + 1
            value += word_n + 1
            trim(&word, &word_n)
            if same_word(word, word_n, "close", 5):
                self.says_close = True
            elif same_word(word, word_n, "keep-alive", 10):
                self.says_keep_alive = True

    cdef const char *end_of_head(self) noexcept:
        if self.chunked and self.length_bytes >= 0:
            return "Transfer-Encoding and Content-Length"
        if self.chunked and self.old:
            return "Transfer-Encoding in HTTP/1.0"
        self.head_bytes = 0
        self.left_bytes = self.length_bytes
        self.part = self.body()
        return NULL

    # ---- the body ----

    cdef const char *chunk_size_line(self, const char *line, Py_ssize_t n) noexcept:
        cdef Py_ssize_t digits = hexadecimal_digits(line, n)
        self.left_bytes = hexadecimal(line, digits)
        if self.left_bytes < 0:
            return "malformed chunk size"
        if not is_chunk_extension(line + digits, n - digits):
            return "malformed chunk extension"
        self.part = CHUNK_DATA if self.left_bytes > 0 else TRAILER
        self.head_bytes = 0
        return NULL

    cdef Event end_of_message(self) noexcept:
        self.part = BETWEEN
        self.head_bytes = 0
        self.forget_half_line()
        return END

    cdef Event refuse(self, const char *fault) noexcept:
        self.fault = fault
        self.forget_half_line()
        return FAULT

    cdef void forget_half_line(self) noexcept:
        if self.half_line != NULL:
            free(self.half_line)
            self.half_line = NULL
            self.half_line_bytes = self.half_line_capacity_bytes = 0


@cython.final
cdef class RequestFraming(Framing):

    cdef bint may_follow_empty_lines(self) noexcept:
        """See RFC 9112, 2.2.  llhttp skips empty lines; h11 rejects the request."""
        return True

    cdef const char *first_line(self, const char *line, Py_ssize_t n) noexcept:
        cdef:
            const char *space = <const char*>memchr(line, b" ", n)
            const char *version = line + n - 9
            Py_ssize_t method_n, target_n
        if n == 14 and memcmp(line, b"PRI * HTTP/2.0", 14) == 0:
            return "HTTP/2"
        if (
            space == NULL
            or version <= space
            or memcmp(version, b" HTTP/1.", 8) != 0
            or not b"0" <= version[8] <= b"1"
        ):
            return "malformed request line"
        method_n = space - line
        target_n = version - space - 1
        if not is_method(line, method_n) or not is_target(space + 1, target_n):
            return "malformed request line"
        self.old = version[8] == b"0"
        self.is_head = method_n == 4 and memcmp(line, b"HEAD", 4) == 0
        self.is_connect = method_n == 7 and memcmp(line, b"CONNECT", 7) == 0
        return NULL

    cdef Part body(self) noexcept:
        if self.chunked:
            return CHUNK_SIZE
        return BODY_COUNTED if self.left_bytes > 0 else BODY_NONE


@cython.final
cdef class ResponseFraming(Framing):

    cdef const char *first_line(self, const char *line, Py_ssize_t n) noexcept:
        """``HTTP/1.1 200 OK``; the reason and the space before it may be missing."""
        cdef int i, digit
        if (
            n < 12
            or memcmp(line, b"HTTP/1.", 7) != 0
            or not b"0" <= line[7] <= b"1"
            or line[8] != b" "
            or n > 12 and line[12] != b" "
            or not is_field_value(line + 12, n - 12)
        ):
            return "malformed status line"
        self.status = 0
        for i in range(9, 12):
            digit = line[i] - 48
            if digit < 0 or digit > 9:
                return "malformed status line"
            self.status = 10 * self.status + digit
        if self.status < 100:
            return "malformed status line"
        self.old = line[7] == b"0"
        return NULL

    cdef Part body(self) noexcept:
        if self.status < 200 or self.status == 204 or self.status == 304:
            return BODY_NONE
        if self.chunked:
            return CHUNK_SIZE
        if self.length_bytes < 0:
            return BODY_TO_CLOSE
        return BODY_COUNTED if self.length_bytes > 0 else BODY_NONE

    cdef void leave_out_body(self) noexcept:
        self.part = BODY_NONE

cimport cython
from libc.stdint cimport int64_t


cdef enum:
    # Without the line end.  aiohttp's limit, the smallest of the servers that
    # this is meant for.
    LINE_LIMIT_BYTES = 8190
    # uvicorn's limit, for all lines of a head or of a trailer.
    HEAD_LIMIT_BYTES = 65536


cdef enum Event:
    MORE             # all bytes have been consumed, and there is nothing to report
    BEGIN            # the first byte of a message is here (not consumed yet)
    HEAD             # the head is complete; its facts are valid until END
    END              # the message is complete
    FAULT            # where the message ends cannot be known any more


cdef enum Part:
    BETWEEN          # no byte of the next message is here
    EMPTY_LINES      # empty lines have come before a request line
    FIRST_LINE
    HEADER
    BODY_NONE        # the head is complete, and so is the message
    BODY_COUNTED     # left_bytes of the body are still to come
    BODY_TO_CLOSE    # the body goes on until the connection ends
    CHUNK_SIZE
    CHUNK_DATA       # left_bytes of the chunk are still to come
    CHUNK_END        # the line end after a chunk's data
    TRAILER


cdef class Framing:
    cdef:
        const char *fault        # the reason for FAULT; a literal
        Part part

        # The facts of a head.
        bint old                 # HTTP/1.0 rather than HTTP/1.1
        bint chunked
        int64_t length_bytes     # Content-Length; -1: none
        bint says_close
        bint says_keep_alive
        bint says_upgrade

        int64_t left_bytes
        Py_ssize_t head_bytes    # complete lines of this head or trailer

        # Owned.  The line so far, if it comes in pieces.  Allocated only during
        # a message that does, never between messages.
        char *half_line
        Py_ssize_t half_line_bytes
        Py_ssize_t half_line_capacity_bytes

    cdef Event advance(self, const char **at, const char *end) noexcept

    # What differs between requests and responses.
    cdef bint may_follow_empty_lines(self) noexcept
    cdef const char *first_line(self, const char *line, Py_ssize_t n) noexcept
    cdef Part body(self) noexcept

    # Steps of advance.
    cdef bint next_line(
        self, const char **at, const char *end, const char **line, Py_ssize_t *n
    ) noexcept
    cdef bint keep_half_line(self, const char *data, Py_ssize_t n) noexcept
    cdef Event take_line(self, const char *line, Py_ssize_t n) noexcept
    cdef const char *field_line(self, const char *line, Py_ssize_t n) noexcept
    cdef const char *field(
        self,
        const char *name, Py_ssize_t name_n,
        const char *value, Py_ssize_t value_n,
    ) noexcept
    cdef void connection_field(self, const char *value, Py_ssize_t n) noexcept
    cdef const char *end_of_head(self) noexcept
    cdef const char *chunk_size_line(self, const char *line, Py_ssize_t n) noexcept
    cdef Event end_of_message(self) noexcept
    cdef Event refuse(self, const char *fault) noexcept
    cdef void forget_half_line(self) noexcept


@cython.final
cdef class RequestFraming(Framing):
    cdef:
        bint is_head             # its response has no body
        bint is_connect


@cython.final
cdef class ResponseFraming(Framing):
    cdef:
        int status

    # Called between HEAD and the next advance, for the response to a HEAD.
    cdef void leave_out_body(self) noexcept

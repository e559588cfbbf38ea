# cython: auto_pickle=False
"""Is a connection quiet?  Counts requests begun against responses finished.

Quiet means that another parser could take over the connection and nobody would
notice: every request that has begun has ended and has been answered completely,
and the current parser holds no byte that came after it.

The bytes are seen as they pass: those of a request before they are given to the
server's protocol, those of a response when the protocol writes them.  So every
byte that the protocol holds has been seen, and a response that has been seen
answers a request whose head has been seen.

                              not quiet until
    a request is arriving     its last byte, even if the response came earlier
    an empty line has come    the request after it has been answered: one
                              server ignores the line, another rejects it
    a request is unanswered   the response's last byte; 1xx does not count
    it is the last exchange   never: one side has said that it will close, or
                              uses HTTP/1.0 without keep-alive
    opaque                    never: what passes is not HTTP/1, or two parsers
                              may read it in two ways

Both counts stop when the connection becomes opaque.
"""

cimport cython
from libc.stdint cimport uint64_t

from aioadapt._http1.framing cimport (
    BEGIN,
    BETWEEN,
    BODY_TO_CLOSE,
    END,
    Event,
    FAULT,
    HEAD,
    MORE,
    RequestFraming,
    ResponseFraming,
)


@cython.final
@cython.no_gc
cdef class Exchange:

    def __cinit__(self):
        self.request = RequestFraming()
        self.response = ResponseFraming()

    # ---- the hot path ----

    cdef void saw_inbound(self, const char *data, Py_ssize_t n) noexcept:
        """The client has sent these bytes; the protocol has not been given them yet."""
        cdef:
            const char *at = data
            const char *end = data + n
            const char *fault = self.fault
            Event event
        while fault == NULL:
            event = self.request.advance(&at, end)
            if event == MORE:
                return
            elif event == BEGIN:
                self.requests += 1
            elif event == HEAD:
                fault = self.request_head()
            elif event == FAULT:
                fault = self.request.fault
        self.give_up(fault)

    cdef void saw_outbound(self, const char *data, Py_ssize_t n) noexcept:
        """The protocol writes these bytes."""
        cdef:
            const char *at = data
            const char *end = data + n
            const char *fault = self.fault
            Event event
        while fault == NULL:
            event = self.response.advance(&at, end)
            if event == MORE:
                return
            elif event == BEGIN:
                # The server answers a request that it has not read, for
                # instance with a timeout.  Which request cannot be known.
                if self.unanswered == 0:
                    fault = "a response without a request"
            elif event == HEAD:
                fault = self.response_head()
            elif event == END:
                if self.response.status >= 200:
                    self.answered()
            else:
                fault = self.response.fault
        self.give_up(fault)

    cdef bint is_quiet(self) noexcept:
        return (
            self.unanswered == 0
            and self.request.part == BETWEEN
            and self.response.part == BETWEEN
            and self.last == NULL
            and self.fault == NULL
        )

    # ---- what a head says ----

    cdef const char *request_head(self) noexcept:
        cdef:
            RequestFraming request = self.request
            uint64_t bit
        if request.is_connect:
            return "CONNECT"
        # With or without "Connection: upgrade": not every server checks it.
        if request.says_upgrade:
            return "Upgrade"
        if self.unanswered == UNANSWERED_LIMIT:
            return "too many unanswered requests"
        bit = <uint64_t>1 << self.unanswered
        self.unanswered += 1
        if request.is_head:
            self.to_head |= bit
        if request.old:
            self.to_old |= bit
        if request.says_close:
            self.last = "the client will close"
        elif request.old and not request.says_keep_alive:
            self.last = "HTTP/1.0 without keep-alive"
        return NULL

    cdef const char *response_head(self) noexcept:
        cdef:
            ResponseFraming response = self.response
            bint to_head = self.to_head & 1
            bint to_old = self.to_old & 1
        if response.status == 101:
            return "101 Switching Protocols"
        if response.status < 200:
            return NULL
        if response.chunked and to_old:
            return "Transfer-Encoding to HTTP/1.0"
        if to_head:
            response.leave_out_body()
        if response.says_close:
            self.last = "the server will close"
        elif (response.old or to_old) and not response.says_keep_alive:
            self.last = "HTTP/1.0 without keep-alive"
        elif response.part == BODY_TO_CLOSE:
            self.last = "the response ends when the connection closes"
        return NULL

    cdef void answered(self) noexcept:
        self.responses += 1
        self.unanswered -= 1
        self.to_head >>= 1
        self.to_old >>= 1

    cdef void give_up(self, const char *fault) noexcept:
        self.fault = fault
        self.request.forget_half_line()
        self.response.forget_half_line()

    # ---- for reports and tests ----

    @property
    def quiet(self):
        return self.is_quiet()

    @property
    def opaque(self):
        """True once the bytes cannot be followed any more; it stays true."""
        return self.fault != NULL

    @property
    def why(self):
        """Why it is not quiet, in a few words; empty if it is quiet."""
        if self.fault != NULL:
            return "opaque: " + self.fault.decode("ascii")
        if self.last != NULL:
            return self.last.decode("ascii")
        if self.request.part != BETWEEN:
            return "a request is arriving"
        if self.unanswered > 0:
            return "a request is being answered"
        return ""

    @property
    def kept_bytes(self):
        """Bytes allocated for lines that arrive in pieces; nothing else is kept."""
        return (
            self.request.half_line_capacity_bytes
            + self.response.half_line_capacity_bytes
        )

    def inbound(self, bytes data not None):
        """The client has sent *data*."""
        self.saw_inbound(data, len(data))

    def outbound(self, bytes data not None):
        """The protocol writes *data*."""
        self.saw_outbound(data, len(data))

    def __repr__(self):
        return (
            f"<Exchange: {self.requests} requests begun, "
            f"{self.responses} answered, {self.why or 'quiet'}>"
        )

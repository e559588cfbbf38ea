"""One connection: what the protocol is told, and in which order.

A stream owns the descriptor, the bytes that wait in either direction, and
the rules of order.  How bytes move is the business of its *way* (readiness.pyx,
completion.pyx), which knows four moves: start reading, stop reading, send, let
go.  A way reports what happened (``received``, ``received_end``, ``sent``,
``send_failed``, ``kernel_let_go``) and decides nothing.  So a stream can be
given another way while it lives, and everything that a protocol can observe
is written once.

It is made of four layers, each on the one before: endpoint.pyx (a descriptor,
its protocol, their life), outbound.pyx (bytes that leave), inbound.pyx (bytes
that arrive), and this file: what is known of a connection, and how it leaves
its loop.

Leaving is: when the connection is quiet, stop reading and rest for one whole
turn, so that the guest's own task comes to rest too; if it is still quiet,
have the kernel let go and hand the descriptor to whoever asked.
"""

from cpython.contextvars cimport PyContext_CopyCurrent

from aioadapt._kernel.linux cimport now_ns
from aioadapt._stream.endpoint cimport life_in_words
from aioadapt._stream.inbound cimport Inbound
from aioadapt._stream.life cimport ENDING, GIVEN_AWAY, OPEN
from aioadapt._stream.outgoing cimport Outgoing
from aioadapt._turn.handle cimport new_handle
from aioadapt._turn.turn cimport (
    LEAVING_RAISED,
    NO_LONGER_LEAVING,
    NO_ROOM,
    NOT_QUIET,
    RESTING,
    Leaving,
)

from aioadapt.stdlib_private import SERVER_NAMES_CLIENTS, SSLProtocol, release_socket

cdef unsigned long long last_id = 0


cdef class Released:
    """A connection that no loop serves: what was let go of."""

    def __repr__(self):
        return f"<Released fd={self.fd} peer={self.peername!r} unread={len(self.unread)}>"


cdef class Stream(Inbound):
    """A connection of the loop's, whoever opened it."""

    def __init__(self):
        raise TypeError("a Stream is made by a loop")

    def __repr__(self):
        return (f"<Stream {self.id} fd={self.fd} {life_in_words(self.life)}"
                f"{', paused' if self.is_paused else ''}"
                f"{', ' + str(self.out.size) + ' bytes to send' if self.out.size else ''}>")

    # -- what is known about it -----------------------------------------------

    @property
    def requests(self):
        """Requests answered, here and on the loops before."""
        return self.requests_before + (
            self.exchange.responses if self.exchange is not None else 0)

    @property
    def last_byte_at(self):
        return self.last_byte_ns * 1e-9

    @property
    def closed(self):
        return self.life >= ENDING

    @property
    def is_served(self):
        """By a server of the loop's, not a connection to somewhere else."""
        return self.server is not None

    def lose_sight(self):
        """Bytes are about to pass that the watcher does not see."""
        if self.exchange is not None:
            self.exchange.give_up("sendfile(2) sends past the transport")

    @property
    def opaque(self):
        return self.exchange is None or self.exchange.opaque

    @property
    def quiet(self):
        return self.is_quiet()

    @property
    def why_not_quiet(self):
        """Empty when it is quiet."""
        if self.life == GIVEN_AWAY:
            return "moved"
        if self.life != OPEN:
            return "closed" if self.life >= ENDING else life_in_words(self.life)
        if self.exchange is None:
            return "TLS" if isinstance(self.protocol, SSLProtocol) else "not watched"
        if not self.exchange.is_quiet():
            return self.exchange.why
        if self.eof_seen or self.eof_asked:
            return "half-closed"
        if self.is_paused or self.held or self.held_end:
            return "reading is paused"
        if self.out.size or self.way.is_sending():
            return "bytes are being sent"
        return ""

    cdef bint is_quiet(self) noexcept:
        return (
            self.life == OPEN and self.exchange is not None and self.exchange.is_quiet()
            and self.out.size == 0 and not self.way.is_sending()
            and not self.is_paused and not self.eof_seen and not self.eof_asked)

    # -- leaving --------------------------------------------------------------

    def leave(self, handler, *, at_once=False):
        """Leave this loop as soon as the connection is quiet.

        *handler* is asked, on the loop's thread, ``may_leave()`` when the
        connection is quiet; on False it is asked again when the next turn
        ends, and until then no other handler with the same ``party`` is, if
        it has one.  Then it is told:
        ``stopped_reading()``, ``stirred()`` when the guest spoke while it
        rested, and in the end ``released(Released)`` or ``closed()``.
        """
        if self.life >= ENDING:
            # The one that waits already is told together with the protocol.
            if self.leaver is not handler:
                handler.closed()
            return
        if self.leaver is not None and self.leaver is not handler:
            raise RuntimeError(f"{self!r} is leaving already")
        self.leaver = handler
        self.party = getattr(handler, "party", None)
        if self.is_leaving:
            return
        if not at_once or self.leave_if_quiet() != NO_LONGER_LEAVING:
            self.turn.will_leave(self)

    def stay(self):
        """Withdraw the wish; the handler is not called any more."""
        self.leaver = None
        if self.is_releasing:
            self.is_staying = True       # seen when the kernel has let go
        elif self.is_resting:
            self.back_to_serving()

    cdef bint could_leave(self) noexcept:
        if self.leaver is None or self.life >= ENDING:
            return True              # to be taken off the list
        return not self.is_resting and self.is_quiet()

    cdef Leaving leave_if_quiet(self) except LEAVING_RAISED:
        cdef Leaving state = self.try_to_leave()
        if state == NO_LONGER_LEAVING:
            self.is_leaving = False
        return state

    cdef Leaving try_to_leave(self) except LEAVING_RAISED:
        if self.leaver is None or self.life >= ENDING or self.is_releasing:
            return NO_LONGER_LEAVING
        if not self.is_resting:
            if not self.is_quiet() or self.held or self.held_end:
                return NOT_QUIET
            if not self.leaver.may_leave():
                return NO_ROOM
            self.is_resting = True
            self.rest_turn = self.turn.number
            self.update_reading()
            self.leaver.stopped_reading()
            return RESTING
        if self.held_end < 0 or (self.held_end and not self.held) or not self.is_quiet():
            leaver = self.leaver
            self.back_to_serving()
            leaver.stirred()
            return NOT_QUIET
        if self.turn.number <= self.rest_turn:
            return RESTING
        self.is_releasing = True
        self.way.let_go()
        return NO_LONGER_LEAVING

    cdef int back_to_serving(self) except -1:
        self.is_resting = False
        if self.leaver is not None:
            self.turn.will_leave(self)
        self.deliver_held_soon()
        return self.update_reading()

    cdef int kernel_let_go(self, bint in_dispatch) except -1:
        cdef bint was_staying = self.is_staying
        if not self.is_releasing or self.life == ENDING or self.is_abandoned:
            return Inbound.kernel_let_go(self, in_dispatch)
        self.is_releasing = False
        if was_staying or not self.is_quiet() or self.held_end < 0 or (
                self.held_end and not self.held):
            self.is_staying = False
            leaver = self.leaver
            self.back_to_serving()
            if leaver is not None and not was_staying:
                leaver.stirred()
        else:
            self.finish_release()
        return 0

    cdef object finish_release(self):
        cdef Released released = Released.__new__(Released)
        leaver, self.leaver = self.leaver, None
        released.fd = self.fd
        released.family, released.type, released.proto = self.family, self.type, self.proto
        released.peername, released.sockname = self.peername, self.sockname
        released.unread = b"".join(self.held) if self.held else b""
        released.id = self.id
        released.requests = self.requests
        released.last_byte_at = self.last_byte_at
        released.tag = self.tag
        if self.sock is not None:
            # The number stays what it is; the object no longer closes it.
            release_socket(self.sock)
            self.sock.detach()
            self.sock = None
        self.turn.counted.moves_out += 1
        protocol = self.protocol
        self.life = GIVEN_AWAY
        self.forget()
        self.held = None
        self.fd = -1
        self.turn.push_ready(
            new_handle(self.turn, protocol.connection_lost, (None,), self.context))
        leaver.released(released)


cdef Stream new_stream(
    object loop, int fd, int family, int type, int proto, object protocol,
    object server, object context,
):
    global last_id
    cdef Stream stream = Stream.__new__(Stream)
    last_id += 1
    stream.id = last_id
    stream.turn = loop
    stream.fd = fd
    stream.family, stream.type, stream.proto = family, type, proto
    stream.out = Outgoing.__new__(Outgoing)
    stream.set_limits(None, None)
    stream.context = PyContext_CopyCurrent() if context is None else context
    stream.last_byte_ns = now_ns()
    stream.set_protocol(protocol)
    stream.way = loop._new_way()
    stream.way.serve(stream)
    stream.transport = loop._new_transport(stream)
    if server is not None:
        try:
            if SERVER_NAMES_CLIENTS:
                server._attach(stream.transport)
            else:
                server._attach()
        except BaseException:
            # It was closed meanwhile, and the descriptor stays the caller's.
            stream.life = GIVEN_AWAY
            stream.fd = -1
            stream.way.serve(None)
            stream.transport = None
            raise
    stream.server = server
    stream.turn.streams_by_fd[fd] = stream
    return stream

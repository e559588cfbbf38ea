"""One connection: what the protocol is told, and in which order.

A stream owns the descriptor, the bytes waiting in either direction, and the rules
of order.  Its *driver* (_engine/driver.pxd) moves the bytes, with four operations:
start reading, stop reading, wait for room, detach.  It reports what happened
(``received``, ``received_end``, ``writable``, ``on_detached``) and decides nothing.  So
a stream can be given another driver while it lives, and everything that a protocol can
observe is written once.

A stream has four layers, each built on the one before: endpoint.pyx (a descriptor,
its protocol, their life cycle), outbound.pyx (bytes to send), inbound.pyx (bytes
received), and this file: what is known about a connection, and how it is released
from its loop.

Releasing: once the connection is quiet, stop reading and let it settle for one whole
iteration, so that the host server's own task finishes too.  If it is still quiet
then, detach the driver and hand the descriptor to the release handler.  How far it is
is a state of detaching.pyx; each try answers with a ``ReleaseStep``.
"""

from aioadapt._engine.driver cimport Driver
from aioadapt._kernel.linux cimport now_ns
from aioadapt._loop.counters cimport count_swap
from aioadapt._loop.hooks cimport FlushHook
from aioadapt._loop.moving cimport (
    MovingCore,
    NOT_ADMITTED,
    NOT_QUIET,
    RELEASE_OVER,
    RELEASE_RAISED,
    ReleaseRequest,
    ReleaseStep,
    SETTLES,
)
from aioadapt._stream.detaching cimport (
    ACTIVITY,
    ADMITTED,
    CANCEL,
    DONE,
    DONE_QUIET,
    END,
    MOVING,
    QUIET_ITERATION,
    RELEASE,
    SETTLING,
    SWAP,
    SWAPPING,
    SWAPPING_WANTED,
    UNDOING_WANTED,
    WANTED,
    after,
)
from aioadapt._stream.endpoint cimport (
    AT_END,
    HOLDS_BYTES,
    HOLDS_END,
    PAUSED,
    STOPPED_TO_MOVE,
    life_in_words,
)
from aioadapt._stream.inbound cimport Inbound
from aioadapt._stream.life cimport ENDING, GIVEN_AWAY, OPEN

from aioadapt.stdlib_private import SERVER_NAMES_CLIENTS, SSLProtocol, release_socket

cdef unsigned long long last_id = 0


cdef class Released:
    """A connection that its loop has released and no loop serves."""

    def __repr__(self):
        return f"<Released fd={self.fd} peer={self.peername!r} unread={len(self.unread)}>"


cdef class StreamRequest(ReleaseRequest):
    """A stream's place in the loop's release queue; out of date once it has another."""

    cdef bint could_release(self) noexcept:
        if self.stream.request is not self or self.stream.life >= ENDING:
            return True              # so that it leaves the release queue
        return self.stream.detaching == WANTED and self.stream.is_quiet()

    cdef bint settles(self) noexcept:
        return self.stream.request is self and self.stream.detaching == SETTLING

    cdef ReleaseStep release_if_quiet(self) except RELEASE_RAISED:
        cdef ReleaseStep step = RELEASE_OVER
        if self.stream.request is self and self.stream.life < ENDING:
            step = self.stream.try_release()
        if step == RELEASE_OVER:
            self.is_queued = False
        return step


cdef class SwapHook(FlushHook):
    """Begins to give a stream another driver, between two callbacks."""

    cdef int flush(self) except -1:
        return self.stream.swap_at_once()


cdef class Stream(Inbound):
    """A connection of the loop, accepted or opened by it."""

    def __init__(self):
        raise TypeError("cannot create a Stream directly: loops create them")

    def __repr__(self):
        return (f"<Stream {self.id} fd={self.fd} {life_in_words(self.life)}"
                f"{', paused' if self.is_paused else ''}"
                f"{', ' + str(self.out.size) + ' bytes to send' if self.out.size else ''}>")

    # -- what is known about it -----------------------------------------------

    @property
    def requests(self):
        """Requests answered, on this loop and those before it."""
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
        """Whether it belongs to a server of this loop, and is not an outgoing one."""
        return self.server is not None

    def mark_opaque(self):
        """Bytes are about to pass that the HTTP/1 watcher does not see."""
        if self.exchange is not None:
            self.exchange.give_up("sendfile(2) bypasses the transport")

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
        if self.not_reading() & AT_END or self.eof_asked:
            return "half-closed"
        if self.not_reading() & (PAUSED | HOLDS_BYTES | HOLDS_END):
            return "reading is paused"
        if self.out.size:
            return "bytes are being sent"
        return ""

    cdef bint is_quiet(self) noexcept:
        return (
            not self.not_reading() & ~STOPPED_TO_MOVE and not self.eof_asked
            and self.out.size == 0
            and self.exchange is not None and self.exchange.is_quiet())

    cdef bint can_leave(self) noexcept:
        """Is it still quiet, except for received bytes, which move along?"""
        cdef unsigned held = self.not_reading() & (HOLDS_BYTES | HOLDS_END)
        if self.not_reading() & ~(STOPPED_TO_MOVE | held) or self.eof_asked \
                or self.out.size != 0 or not self.exchange.is_quiet():
            return False
        return not held & HOLDS_END or (held & HOLDS_BYTES and self.held_end > 0)

    cdef unsigned not_reading(self) noexcept:
        cdef unsigned reasons = Inbound.not_reading(self)
        if SETTLING <= self.detaching <= UNDOING_WANTED:
            reasons |= STOPPED_TO_MOVE
        return reasons

    # -- releasing ------------------------------------------------------------

    @property
    def release_handler(self):
        """It is told how the requested release goes; None if none was requested."""
        return None if self.request is None else self.request.handler

    def release(self, handler, *, immediately=False):
        """Release the connection from this loop as soon as it is quiet.

        All methods of *handler* are called on the loop's thread.  When the
        connection is quiet, ``may_release()`` decides.  If it returns False, it is
        called again when the next iteration ends; until then, other handlers with
        the same ``admission_group``, if it has one, are skipped.  After True come
        ``stopped_reading()``, then ``became_active()`` if the host server did
        something while the connection settled, and at the end
        ``released(Released)`` or ``closed()``.
        """
        if self.life >= ENDING:
            # A handler that is already waiting is told when the protocol is.
            if self.release_handler is not handler:
                handler.closed()
            return
        if self.request is None:
            self.request = StreamRequest.__new__(StreamRequest)
            self.request.stream = self
            self.request.handler = handler
        elif self.request.handler is not handler:
            raise RuntimeError(f"{self!r} is already being released")
        self.request.admission_group = getattr(handler, "admission_group", None)
        self.detaching = after(self.detaching, RELEASE)
        if self.request.is_queued:
            return
        if not immediately or self.request.release_if_quiet() != RELEASE_OVER:
            (<MovingCore> self.loop).queue_release(self.request)

    def cancel_release(self):
        """Cancel the release; the handler is not called any more."""
        cdef bint has_stopped = self.detaching == SETTLING
        self.request = None
        self.detaching = after(self.detaching, CANCEL)
        if has_stopped:
            self.resume_serving()

    cdef ReleaseStep try_release(self) except RELEASE_RAISED:
        cdef object handler = self.request.handler
        if self.detaching == WANTED:
            if not self.is_quiet():
                return NOT_QUIET
            if not handler.may_release():
                return NOT_ADMITTED
            if self.detaching != WANTED:
                return RELEASE_OVER          # its handler has ended or cancelled it
            self.detaching = after(self.detaching, ADMITTED)
            self.settle_iteration = self.loop.iteration
            self.update_reading()
            handler.stopped_reading()
            return SETTLES
        if self.detaching != SETTLING:
            return RELEASE_OVER
        if not self.can_leave():
            self.detaching = after(self.detaching, ACTIVITY)
            self.resume_serving()
            handler.became_active()
            return NOT_QUIET
        if self.loop.iteration <= self.settle_iteration:
            return SETTLES
        self.detaching = after(self.detaching, QUIET_ITERATION)
        self.driver.detach()
        return RELEASE_OVER

    cdef int resume_serving(self) except -1:
        if self.request is not None:
            (<MovingCore> self.loop).queue_release(self.request)
        if self.next_driver is not None:
            self.queue_swap()
        self.deliver_held_soon()
        self.update_room_or_end()        # it may have been written to meanwhile
        return self.update_reading_or_end()

    cdef bint is_detaching(self) noexcept:
        return MOVING <= self.detaching <= SWAPPING_WANTED

    cdef int on_detached(self) except -1:
        cdef bint is_moving = self.detaching == MOVING
        assert not self.driver.is_in_kernel(), self
        if self.life >= ENDING or not self.is_detaching():
            return Inbound.on_detached(self)
        if self.detaching >= SWAPPING:
            return self.finish_swap()
        if is_moving and self.can_leave():
            self.detaching = after(self.detaching, DONE_QUIET)
            self.finish_release()
            return 0
        self.detaching = after(self.detaching, DONE)
        self.resume_serving()
        if is_moving and self.request is not None:
            self.request.handler.became_active()
        return 0

    # -- another driver -------------------------------------------------------

    @property
    def engine(self):
        """The name of the engine that serves it, or will once its driver has detached."""
        return (self.driver if self.next_driver is None else self.next_driver).engine

    def swap_soon(self, Driver driver not None):
        """Let this driver serve it from the end of the iteration on.

        Not at once: the caller may have been called by the driver.
        """
        if self.life >= ENDING:
            return
        self.next_driver = driver
        self.queue_swap()

    def swap_now(self, Driver driver not None):
        """The same, where no driver has called the caller."""
        if self.life < ENDING:
            self.next_driver = driver
            self.swap_at_once()

    cdef int swap_at_once(self) except -1:
        """One at a time: so nobody waits for what the protocols of others do meanwhile."""
        self.begin_swap()
        return self.loop.finish_cancels() if self.is_detaching() else 0

    cdef int queue_swap(self) except -1:
        if self.swap_hook is None:
            self.swap_hook = SwapHook.__new__(SwapHook)
            self.swap_hook.stream = self
        self.loop.end_queue.add(self.swap_hook)
        return 0

    cdef int begin_swap(self) except -1:
        cdef Driver before = self.driver     # it may be replaced before detach returns
        cdef bint is_detaching = self.is_detaching()
        if self.next_driver is None:
            return 0
        if self.next_driver.engine == before.engine and not is_detaching:
            self.next_driver = None          # there and back before it began
            return 0
        self.detaching = after(self.detaching, SWAP)
        if not is_detaching and self.detaching >= SWAPPING and self.life < ENDING:
            self.swap_began_ns = now_ns()
            return before.detach()
        return 0                             # it waits for the driver, or for a move

    cdef int finish_swap(self) except -1:
        cdef Driver before = self.driver
        assert self.next_driver is not None and self.next_driver is not before, self
        before.serve(None)
        self.driver, self.next_driver = self.next_driver, None
        self.driver.serve(self)
        self.detaching = after(self.detaching, DONE)
        count_swap(&self.loop.counted, self.swap_began_ns)
        if self.request is not None:
            (<MovingCore> self.loop).queue_release(self.request)
        self.is_reading = False          # by this driver
        self.update_room_or_end()
        return self.update_reading_or_end()

    # -- ending ---------------------------------------------------------------

    cdef int end(self, object exc) except -1:
        if self.is_detaching():
            self.loop.check_not_forked()     # otherwise detaching does
        Inbound.end(self, exc)
        self.next_driver = None
        self.detaching = after(self.detaching, END)
        return 0

    cdef int has_ended(self) except -1:
        request, self.request = self.request, None
        if request is not None:
            (<StreamRequest> request).handler.closed()
        return 0

    cdef int unregister(self) except -1:
        self.tag = None              # it may refer to us
        return Inbound.unregister(self)

    cdef object get_extra(self, object name, object default):
        return self.engine if name == "engine" else Inbound.get_extra(self, name, default)

    def orphan(self):
        self.request = None
        self.next_driver = None
        Inbound.orphan(self)

    cdef object finish_release(self):
        cdef Released released = Released.__new__(Released)
        cdef StreamRequest request = self.request
        assert self.out.size == 0, self
        self.request = None
        released.fd = self.fd
        released.family, released.type, released.proto = self.family, self.type, self.proto
        released.peername, released.sockname = self.peername, self.sockname
        released.unread = b"".join(self.held) if self.held else b""
        released.id = self.id
        released.requests = self.requests
        released.last_byte_at = self.last_byte_at
        released.tag = self.tag
        if self.sock is not None:
            # The descriptor stays open; the socket object no longer owns it.
            release_socket(self.kept_open)
            self.sock.detach()
            self.sock = self.kept_open = None
        self.loop.counted.moves_out += 1
        protocol = self.protocol
        self.life = GIVEN_AWAY
        self.unregister()
        self.held = None
        self.fd = -1
        self.loop.schedule(protocol.connection_lost, (None,), self.reader_context)
        request.handler.released(released)


cdef Stream new_stream(
    object loop, int fd, int family, int type, int proto, object protocol, object server,
):
    global last_id
    cdef Stream stream
    # As in asyncio, a protocol without this method is refused here, while the
    # descriptor is still the caller's.
    protocol.connection_made
    stream = Stream.__new__(Stream, loop, loop._new_stream_driver())
    last_id += 1
    stream.id = last_id
    stream.fd = fd
    stream.family, stream.type, stream.proto = family, type, proto
    stream.set_limits(None, None)
    stream.last_byte_ns = now_ns()
    stream.set_protocol(protocol)
    stream.driver.serve(stream)
    stream.transport = loop._new_transport(stream)
    if server is not None:
        try:
            if SERVER_NAMES_CLIENTS:
                server._attach(stream.transport)
            else:
                server._attach()
        except BaseException:
            # The server was closed meanwhile; the descriptor stays the caller's.
            stream.life = GIVEN_AWAY
            stream.fd = -1
            stream.driver.serve(None)
            stream.transport = None
            raise
    stream.server = server
    stream.loop.streams_by_fd[fd] = stream
    return stream

"""One connection: what the protocol is told, and in which order.

A stream owns the descriptor, the bytes that wait in either direction, and
the rules of order.  How bytes move is the business of its *way* (readiness.pyx,
completion.pyx), which knows four moves: start reading, stop reading, send, let
go.  A way reports what happened (``received``, ``received_end``, ``sent``,
``send_failed``, ``kernel_let_go``) and decides nothing.  So a stream can be
given another way while it lives, and everything that a protocol can observe
is written once.

Writes are gathered.  What a protocol writes in one turn leaves when the turn
ends, in one call; past the high-water mark it leaves at once.

Pausing means: deliver nothing and take no more.  What the kernel had taken
already when it was told to stop is *held* and delivered, in order, when
reading goes on; or it is carried along when the connection moves.

Closing is: stop reading, send what was written, have the kernel let go, call
connection_lost, close the descriptor.  The descriptor is closed only when no
operation of the kernel's names it.

Leaving is: when the connection is quiet, stop reading and rest for one whole
turn, so that the guest's own task comes to rest too; if it is still quiet,
have the kernel let go and hand the descriptor to whoever asked.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.contextvars cimport PyContext_CopyCurrent, PyContext_Enter, PyContext_Exit
from libc.string cimport memcpy
from posix.unistd cimport close as close_fd

from aioadapt._kernel.addresses cimport own_address, peer_address
from aioadapt._kernel.linux cimport SHUT_WR, now_ns, shutdown
from aioadapt._stream.life cimport (
    CLOSING,
    ENDED,
    ENDING,
    GIVEN_AWAY,
    OPEN,
    OPENING,
)
from aioadapt._stream.outgoing cimport Outgoing
from aioadapt._turn.handle cimport new_handle, report_failure
from aioadapt._turn.turn cimport (
    LEAVING_RAISED,
    NO_LONGER_LEAVING,
    NOT_QUIET,
    RESTING,
    Leaver,
    Leaving,
)

import logging
import os
import socket
from asyncio import BufferedProtocol

from aioadapt.stdlib_private import (
    SERVER_NAMES_CLIENTS,
    SILENT_LOST_WRITES,
    SSLProtocol,
    TransportSocket,
    report_slow_read,
    set_result_unless_cancelled,
)

cdef extern from "Python.h":
    object PyObject_CallMethodOneArg(object self, object name, object argument)

cdef enum:
    HIGH_WATER_BYTES = 65536     # asyncio's

cdef unsigned long long last_id = 0
cdef object logger = logging.getLogger("asyncio")
cdef tuple LIFE_WORDS = (
    "opening", "open", "closing", "ending", "closed", "moved to another loop")


cdef class Way:
    """How the bytes of one stream move."""

    cdef int start_reading(self) except -1:
        """Report what arrives, from now on."""
        raise NotImplementedError

    cdef int stop_reading(self) except -1:
        """Take no more; what has been taken already is still reported."""
        raise NotImplementedError

    cdef int send(self, bint at_once) except -1:
        """See to it that ``stream.out`` leaves; *at_once*: as much as fits now."""
        raise NotImplementedError

    cdef int let_go(self) except -1:
        """Have the kernel hold nothing of the stream's; then ``kernel_let_go``."""
        raise NotImplementedError

    cdef bint is_sending(self) noexcept:
        """May the kernel still be reading bytes that were written?"""
        return False


cdef class Released:
    """A connection that no loop serves: what was let go of."""

    def __repr__(self):
        return f"<Released fd={self.fd} peer={self.peername!r} unread={len(self.unread)}>"


cdef class Stream(Leaver):

    def __init__(self):
        raise TypeError("a Stream is made by a loop")

    def __repr__(self):
        return (f"<Stream {self.id} fd={self.fd} {LIFE_WORDS[<int> self.life]}"
                f"{', paused' if self.is_paused else ''}"
                f"{', ' + str(self.out.size) + ' bytes to send' if self.out.size else ''}>")

    # -- beginning ------------------------------------------------------------

    def open(self, waiter=None):
        """Connect the protocol, then start reading, then tell the waiter."""
        if self.life == OPENING:
            self.life = OPEN
        PyContext_Enter(self.context)
        try:
            self.protocol.connection_made(self.transport)
        except BaseException as exc:
            PyContext_Exit(self.context)
            if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                raise
            made = self.protocol.connection_made
            report_failure(
                new_handle(self.turn, made, (self.transport,), self.context),
                made, (self.transport,), exc)
        else:
            PyContext_Exit(self.context)
        self.update_reading()
        if waiter is not None:
            set_result_unless_cancelled(waiter, None)

    cdef int update_reading(self) except -1:
        """The one place that decides whether the way reads."""
        cdef bint wanted = (
            self.life == OPEN and not self.is_paused and not self.is_resting
            and not self.eof_seen and not self.held and self.held_end == 0)
        if wanted != self.is_reading:
            self.is_reading = wanted
            if wanted:
                self.way.start_reading()
            else:
                self.way.stop_reading()
        return 0

    # -- bytes that arrive ----------------------------------------------------

    cdef int received(self, const char *data, Py_ssize_t n) except -1:
        self.turn.counted.bytes_in += n
        self.turn.counted.receives += 1
        if self.is_reading:
            return self.deliver(data, n)
        return self.hold(data, n)

    cdef int received_end(self, int end) except -1:
        """End of file (1) or a negative errno; nothing comes after it."""
        if self.is_reading:
            return self.deliver_end(end)
        if self.life == OPEN:
            self.held_end = end
        return 0

    cdef int hold(self, const char *data, Py_ssize_t n) except -1:
        # A closing stream reads no more: its bytes are nobody's.
        if self.life == OPEN:
            if self.held is None:
                self.held = []
            self.held.append(PyBytes_FromStringAndSize(data, n))
        return 0

    cdef int deliver(self, const char *data, Py_ssize_t n) except -1:
        cdef long long started
        self.last_byte_ns = self.turn.awake_since_ns
        if self.turn._debug:
            started = now_ns()
            self.hand_over(data, n)
            report_slow_read(self.turn, self.transport, (now_ns() - started) * 1e-9)
            return 0
        return self.hand_over(data, n)

    cdef int hand_over(self, const char *data, Py_ssize_t n) except -1:
        cdef object chunk
        if self.is_buffered:
            return self.deliver_to_buffers(data, n)
        if self.exchange is not None:
            self.exchange.saw_inbound(data, n)
        chunk = PyBytes_FromStringAndSize(data, n)
        PyContext_Enter(self.context)
        try:
            PyObject_CallMethodOneArg(self.protocol, "data_received", chunk)
        except BaseException as exc:
            PyContext_Exit(self.context)
            if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                raise
            self.fatal(exc, "Fatal error: protocol.data_received() call failed.")
        else:
            PyContext_Exit(self.context)
        return 0

    cdef int deliver_to_buffers(self, const char *data, Py_ssize_t n) except -1:
        """Copy into the protocol's buffers, as many as it takes."""
        cdef Py_buffer view
        cdef Py_ssize_t part
        while n > 0:
            if not self.is_reading:
                return self.hold(data, n)
            if not self.is_buffered:
                return self.hand_over(data, n)     # the protocol was replaced
            buffer = self.next_buffer()
            if buffer is None:
                return 0
            PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
            try:
                part = min(n, view.len)
                memcpy(view.buf, data, part)
                if self.exchange is not None:
                    self.exchange.saw_inbound(data, part)
            finally:
                PyBuffer_Release(&view)
            self.buffer_filled(part)
            data += part
            n -= part
        return 0

    cdef bint takes_buffer(self) noexcept:
        """May a way receive straight into the protocol's own buffer?"""
        return self.is_buffered and self.exchange is None

    cdef object next_buffer(self):
        """None: the protocol failed to give one, and the connection is ending."""
        try:
            buffer = self.call_protocol("get_buffer", -1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
            return buffer
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.fatal(exc, "Fatal error: protocol.get_buffer() call failed.")
            return None

    cdef int buffer_filled(self, Py_ssize_t n) except -1:
        self.last_byte_ns = self.turn.awake_since_ns
        try:
            self.call_protocol("buffer_updated", n)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.fatal(exc, "Fatal error: protocol.buffer_updated() call failed.")
        return 0

    cdef int deliver_end(self, int end) except -1:
        if end < 0:
            return self.fatal(
                OSError(-end, os.strerror(-end)), "Fatal read error on socket transport")
        self.eof_seen = True
        self.update_reading()
        if self.turn._debug:
            logger.debug("%r received EOF", self.transport)
        try:
            keep_open = self.call_protocol("eof_received", None)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            return self.fatal(exc, "Fatal error: protocol.eof_received() call failed.")
        if not keep_open:
            self.close()
        return 0

    cdef int deliver_held_soon(self) except -1:
        if self.held or self.held_end != 0:
            self.turn.push_ready(
                new_handle(self.turn, self._deliver_held, (), None))
        return 0

    def _deliver_held(self):
        cdef bytes chunk
        cdef int end
        while self.held and self.life == OPEN and not self.is_paused and not self.is_resting:
            chunk = self.held.pop(0)
            # Delivering is what reading is; the way need not hear of it.
            self.is_reading = True
            try:
                self.deliver(PyBytes_AS_STRING(chunk), PyBytes_GET_SIZE(chunk))
            finally:
                self.is_reading = False
        if not self.held and self.held_end != 0 and self.life == OPEN \
                and not self.is_paused and not self.is_resting:
            end, self.held_end = self.held_end, 0
            self.deliver_end(end)
        self.update_reading()

    cdef object call_protocol(self, str name, object argument):
        """Call one of its methods in the stream's context; what it raises is raised."""
        PyContext_Enter(self.context)
        try:
            if argument is None:
                return getattr(self.protocol, name)()
            return PyObject_CallMethodOneArg(self.protocol, name, argument)
        finally:
            PyContext_Exit(self.context)

    cdef int pause_reading(self) except -1:
        if self.life >= CLOSING or self.is_paused:
            return 0
        self.is_paused = True
        self.update_reading()
        if self.turn._debug:
            logger.debug("%r pauses reading", self.transport)
        return 0

    cdef int resume_reading(self) except -1:
        if self.life >= CLOSING or not self.is_paused:
            return 0
        self.is_paused = False
        self.deliver_held_soon()
        self.update_reading()
        if self.turn._debug:
            logger.debug("%r resumes reading", self.transport)
        return 0

    # -- bytes that leave -----------------------------------------------------

    cdef int write(self, object data) except -1:
        if not PyBytes_CheckExact(data):
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError("data argument must be a bytes-like object, "
                                f"not {type(data).__name__!r}")
            # A copy: the caller may change its buffer before the turn ends.
            data = bytes(data)
        if self.eof_asked:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.empty_waiter is not None:
            raise RuntimeError("unable to write; sendfile is in progress")
        if self.life == GIVEN_AWAY:
            raise RuntimeError(
                f"cannot write to {self.transport!r}: its connection was moved to another "
                "loop, which has made a new protocol for it")
        if PyBytes_GET_SIZE(data) == 0:
            return 0
        if self.life >= CLOSING:
            if self.lost_writes >= SILENT_LOST_WRITES:
                logger.warning("socket.send() raised exception.")
            self.lost_writes += 1
            return 0
        if self.exchange is not None:
            self.exchange.saw_outbound(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        self.out.add(data)
        if self.out.size > self.high_bytes:
            if not self.protocol_paused:
                self.way.send(True)
                self.pause_protocol_if_full()
        if not self.is_queued:
            self.is_queued = True
            self.turn.ending.append(self)
            if self.leaver is not None:
                self.ask_at_end_of_turn()
        return 0

    cdef int turn_ends(self) except -1:
        if self.out.size and self.life <= CLOSING:
            self.way.send(False)
        return 0

    cdef int sent(self, Py_ssize_t n) except -1:
        """The kernel has taken n bytes of what was to be sent."""
        self.turn.counted.bytes_out += n
        self.last_byte_ns = self.turn.awake_since_ns
        if self.life >= ENDING:
            return 0
        self.out.sent(n)
        if self.protocol_paused and self.out.size <= self.low_bytes:
            self.protocol_paused = False
            self.call_flow_control("resume_writing")
        if self.out.size == 0:
            self.all_sent()
        return 0

    cdef int all_sent(self) except -1:
        if self.empty_waiter is not None:
            set_result_unless_cancelled(self.empty_waiter, None)
        if self.life == CLOSING:
            self.end(None)
        elif self.eof_asked and self.life == OPEN:
            self.shut_down_writing()
        return 0

    cdef int send_failed(self, int error) except -1:
        if self.life >= ENDING:
            return 0
        return self.fatal(
            OSError(error, os.strerror(error)), "Fatal write error on socket transport")

    cdef int pause_protocol_if_full(self) except -1:
        if self.out.size > self.high_bytes and not self.protocol_paused \
                and self.life < ENDING:
            self.protocol_paused = True
            self.call_flow_control("pause_writing")
        return 0

    cdef int call_flow_control(self, str name) except -1:
        try:
            getattr(self.protocol, name)()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.turn.call_exception_handler({
                "message": f"protocol.{name}() failed",
                "exception": exc,
                "transport": self.transport,
                "protocol": self.protocol,
            })
        return 0

    cdef int set_limits(self, object high, object low) except -1:
        if high is None:
            high = HIGH_WATER_BYTES if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self.high_bytes, self.low_bytes = high, low
        return self.pause_protocol_if_full()

    cdef int write_eof(self) except -1:
        if self.life >= CLOSING or self.eof_asked:
            return 0
        self.eof_asked = True
        if self.out.size == 0:
            self.shut_down_writing()
        return 0

    cdef int shut_down_writing(self) except -1:
        if not self.eof_sent:
            self.eof_sent = True
            # An error here is the connection's end, which reading will find.
            shutdown(self.fd, SHUT_WR)
        return 0

    # -- ending ---------------------------------------------------------------

    cdef int close(self) except -1:
        if self.life >= CLOSING:
            return 0
        self.life = CLOSING
        self.update_reading()
        if self.out.size == 0:
            self.end(None)
        return 0

    cdef int abort(self, object exc) except -1:
        if self.life < ENDING:
            self.end(exc)
        return 0

    cdef int fatal(self, object exc, str message) except -1:
        if isinstance(exc, OSError):
            if self.turn._debug:
                logger.debug("%r: %s", self.transport, message,
                             exc_info=(type(exc), exc, exc.__traceback__))
        else:
            self.turn.call_exception_handler({
                "message": message,
                "exception": exc,
                "transport": self.transport,
                "protocol": self.protocol,
            })
        return self.abort(exc)

    cdef int end(self, object exc) except -1:
        """Nothing passes any more; connection_lost follows when the kernel has let go."""
        self.life = ENDING
        self.is_reading = False
        self.ending_exc = exc
        self.out.clear()
        self.held = None
        self.held_end = 0
        if self.empty_waiter is not None:
            set_result_unless_cancelled(self.empty_waiter, None)
        if not self.is_releasing:      # else the way is about it already
            self.way.let_go()
        return 0

    cdef int kernel_let_go(self) except -1:
        """From the way: the kernel holds nothing of ours any more."""
        cdef bint was_staying = self.is_staying
        if self.is_abandoned:
            return 0
        if self.life == ENDING:
            self.is_releasing = False
            self.turn.push_ready(
                new_handle(self.turn, self._call_connection_lost, (), self.context))
        elif self.is_releasing:
            self.is_releasing = False
            if self.is_staying or self.held_end < 0 or (self.held_end and not self.held):
                self.is_staying = False
                leaver = self.leaver
                self.back_to_serving()
                if leaver is not None and not was_staying:
                    leaver.stirred()
            else:
                self.finish_release()
        return 0

    def _call_connection_lost(self):
        exc = self.ending_exc
        leaver, self.leaver = self.leaver, None
        self.life = ENDED
        try:
            self.protocol.connection_lost(exc)
        finally:
            self.forget()
            self.close_descriptor()
            if leaver is not None:
                leaver.closed()

    cdef int forget(self) except -1:
        """The loop, the server and the protocol have nothing more to do with us."""
        if self.turn.streams_by_fd.get(self.fd) is self:
            del self.turn.streams_by_fd[self.fd]
        server, self.server = self.server, None
        if server is not None:
            if SERVER_NAMES_CLIENTS:
                server._detach(self.transport)
            else:
                server._detach()
        self.way.stream = None
        self.protocol = None
        self.transport = None
        self.ending_exc = None
        self.tag = None              # a mover's, which knows us
        return 0

    cdef int close_descriptor(self) except -1:
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()
        elif self.fd >= 0:
            close_fd(self.fd)
        return 0

    def silence(self):
        """The loop is closing: tell the protocol nothing more, have the kernel let go."""
        self.is_abandoned = True
        self.leaver = None
        self.is_reading = False
        if not self.is_releasing:
            self.way.let_go()
        self.way.stream = None

    def abandon(self):
        """The loop is closed: who still has the transport owns the descriptor now."""
        if self.turn.streams_by_fd.get(self.fd) is self:
            del self.turn.streams_by_fd[self.fd]
        if self.life < ENDING:
            self.life = ENDING
        self.transport = None

    def collected(self):
        """The transport of an abandoned stream is gone; true if it was still open."""
        if self.life == ENDED or self.life == GIVEN_AWAY:
            return False
        self.life = ENDED
        self.close_descriptor()
        server, self.server = self.server, None
        if server is not None and not SERVER_NAMES_CLIENTS:
            server._detach()
        return True

    # -- what is known about it -----------------------------------------------

    cdef int set_protocol(self, object protocol) except -1:
        self.protocol = protocol
        self.is_buffered = isinstance(protocol, BufferedProtocol)
        return 0

    cdef object get_socket(self):
        """The socket object, made when somebody first asks for it."""
        if self.sock is None:
            if self.fd >= 0 and self.life < ENDED:
                self.sock = socket.socket(
                    self.family, self.type, self.proto, fileno=self.fd)
                self.sock.setblocking(False)
            else:
                # Too late: one that is closed, as asyncio's would be by now.
                sock = socket.socket(self.family, self.type)
                sock.close()
                return sock
        return self.sock

    cdef object get_extra(self, object name, object default):
        if self.extra is not None and name in self.extra:
            return self.extra[name]
        if name == "peername":
            return self.peername
        if name == "sockname":
            return self.sockname
        if name == "socket":
            if self.extra is None:
                self.extra = {}
            self.extra["socket"] = answer = TransportSocket(self.get_socket())
            return answer
        return default

    @property
    def peername(self):
        if self.peername_known is None and self.fd >= 0:
            self.peername_known = peer_address(self.fd)
        return self.peername_known

    @property
    def sockname(self):
        if self.sockname_known is None and self.fd >= 0:
            self.sockname_known = own_address(self.fd)
        return self.sockname_known

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
            return "closed" if self.life >= ENDING else LIFE_WORDS[<int> self.life]
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
        connection is quiet; on False it is asked again at the next quiet
        moment, or when ``leave`` is called again.  Then it is told:
        ``stopped_reading()``, ``stirred()`` when the guest spoke while it
        rested, and in the end ``released(Released)`` or ``closed()``.
        """
        if self.life >= ENDING:
            handler.closed()
            return
        if self.leaver is not None and self.leaver is not handler:
            raise RuntimeError(f"{self!r} is leaving already")
        self.leaver = handler
        if self.is_leaving:
            return
        if not at_once or self.leave_if_quiet() != NO_LONGER_LEAVING:
            self.ask_at_end_of_turn()

    def stay(self):
        """Withdraw the wish; the handler is not called any more."""
        self.leaver = None
        if self.is_releasing:
            self.is_staying = True       # seen when the kernel has let go
        elif self.is_resting:
            self.back_to_serving()

    cdef int ask_at_end_of_turn(self) except -1:
        if not self.is_leaving:
            self.is_leaving = True
            self.turn.leavers.append(self)
        return 0

    cdef bint could_leave(self) noexcept:
        return not self.is_resting and self.leaver is not None and self.is_quiet()

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
                return NO_LONGER_LEAVING       # the next write asks again
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
            self.ask_at_end_of_turn()
        self.deliver_held_soon()
        return self.update_reading()

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
    stream.high_bytes = HIGH_WATER_BYTES
    stream.low_bytes = HIGH_WATER_BYTES // 4
    stream.context = PyContext_CopyCurrent() if context is None else context
    stream.last_byte_ns = now_ns()
    stream.set_protocol(protocol)
    stream.way = loop._new_way()
    stream.way.stream = stream
    stream.transport = loop._new_transport(stream)
    stream.server = server
    if server is not None:
        if SERVER_NAMES_CLIENTS:
            server._attach(stream.transport)
        else:
            server._attach()
    stream.turn.streams_by_fd[fd] = stream
    return stream

"""A descriptor, its protocol, and their life cycle.

    OPENING --> OPEN --> CLOSING --> ENDING --> DETACHED or OVERDUE --> ENDED
                  |                    ^
                  |'---- (abort) ------'
                  '--> GIVEN_AWAY

Opening: call connection_made, then start reading.  Closing: stop reading, send
what was written, detach the driver, call connection_lost, close the descriptor.
The descriptor is closed only when no operation in the kernel refers to it.

This is the lowest of the four layers of a Stream (see stream.pyx), and it holds
the state of all four.
"""

from cpython.contextvars cimport PyContext_CopyCurrent
from posix.unistd cimport close as close_fd

from aioadapt._engine.driver cimport Driven, Driver
from aioadapt._kernel.addresses cimport own_address, peer_address
from aioadapt._loop.core cimport LoopCore
from aioadapt._loop.handle cimport new_handle, report_failure
from aioadapt._stream.life cimport (
    CLOSING,
    DETACHED,
    ENDED,
    ENDING,
    GIVEN_AWAY,
    Life,
    OPEN,
    OPENING,
    ORPHANED,
    OVERDUE,
)
from aioadapt._stream.outgoing cimport Outgoing

import logging
import socket
from asyncio import BufferedProtocol

from aioadapt._stream.stream_socket import StreamSocket
from aioadapt.stdlib_private import (
    SERVER_NAMES_CLIENTS,
    hold_socket,
    release_socket,
    set_result_unless_cancelled,
)

cdef extern from "Python.h":
    object PyObject_CallMethodOneArg(object self, object name, object argument)

cdef object logger = logging.getLogger("asyncio")
cdef tuple LIFE_WORDS = (
    "opening", "open", "closing", "ending", "ending", "ending", "ending", "closed",
    "moved to another loop")


cdef object life_in_words(Life life):
    return LIFE_WORDS[<int> life]


cdef class Endpoint(Driven):
    """See the top of this file."""

    def __cinit__(self, LoopCore loop not None, Driver driver not None):
        self.loop = loop
        self.driver = driver
        self.fd = -1
        self.out = Outgoing.__new__(Outgoing)
        self.reader_context = PyContext_CopyCurrent()

    def open(self, waiter=None, *, reads_or_ends=False):
        """Call connection_made, then start reading, then set the waiter's result."""
        if self.life == OPENING:
            self.life = OPEN
        try:
            self.protocol.connection_made(self.transport)
        except (SystemExit, KeyboardInterrupt):
            # The connection stays usable if the loop runs again.
            self.update_reading_or_end()
            if waiter is not None:
                set_result_unless_cancelled(waiter, None)
            raise
        except BaseException as exc:
            made = self.protocol.connection_made
            report_failure(
                new_handle(self.loop, made, (self.transport,), None),
                made, (self.transport,), exc)
        try:
            self.update_reading()
        except Exception as exc:
            # epoll refused the descriptor or is out of resources.  As in asyncio,
            # the connection is made but never reads.
            report_failure(
                new_handle(self.loop, self.open, (waiter,), None),
                self.open, (waiter,), exc)
            if reads_or_ends:
                self.abort(exc)
        if waiter is not None:
            set_result_unless_cancelled(waiter, None)

    cdef unsigned not_reading(self) noexcept:
        """Everything that keeps it from reading: a set of NotReading."""
        cdef unsigned reasons = 0
        if self.life != OPEN:
            reasons |= NOT_OPEN
        if self.is_paused:
            reasons |= PAUSED
        if self.eof_seen:
            reasons |= AT_END
        if self.held:
            reasons |= HOLDS_BYTES
        if self.held_end != 0:
            reasons |= HOLDS_END
        return reasons

    cdef int update_reading(self) except -1:
        """The one place that decides whether the driver reads."""
        cdef bint wanted = self.not_reading() == 0
        if wanted != self.is_reading:
            self.is_reading = wanted
            if wanted:
                self.driver.start_reading()
            else:
                self.driver.stop_reading(self.is_paused and self.life == OPEN)
        return 0

    cdef int update_reading_or_end(self) except -1:
        """For where nobody could be told that the descriptor cannot be watched."""
        try:
            return self.update_reading()
        except OSError as exc:
            return self.fatal(exc, "Fatal error: the descriptor cannot be watched")

    cdef int update_room_or_end(self) except -1:
        try:
            return self.driver.update_room()
        except OSError as exc:
            return self.fatal(exc, "Fatal error: the descriptor cannot be watched")

    cdef int pause_reading(self) except -1:
        if self.life >= CLOSING or self.is_paused:
            return 0
        self.is_paused = True
        self.update_reading()
        if self.loop._debug:
            logger.debug("%r pauses reading", self.transport)
        return 0

    cdef int resume_reading(self) except -1:
        if self.life >= CLOSING or not self.is_paused:
            return 0
        self.is_paused = False
        # If the protocol keeps it open, asyncio finds the end anew: start_tls, for one,
        # pauses and resumes, and its protocol has to be told.
        self.eof_seen = False
        self.reader_context = PyContext_CopyCurrent()
        self.deliver_held_soon()
        self.update_reading()
        if self.loop._debug:
            logger.debug("%r resumes reading", self.transport)
        return 0

    cdef int deliver_held_soon(self) except -1:
        if (self.held or self.held_end != 0) and not self.delivers_soon:
            self.delivers_soon = True
            self.loop.schedule(self._deliver_held, (), None)
        return 0

    def _deliver_held(self):
        raise NotImplementedError

    cdef int unpark(self) except -1:
        """The loop runs again: deliver what was reaped while it stopped, then go on."""
        self.deliver_held_soon()
        self.update_reading_or_end()
        return self.driver.unpark()

    cdef object call_protocol(self, str name, object argument):
        """Call a method of the protocol; exceptions propagate."""
        if argument is None:
            return getattr(self.protocol, name)()
        return PyObject_CallMethodOneArg(self.protocol, name, argument)

    cdef int set_protocol(self, object protocol) except -1:
        self.protocol = protocol
        self.is_buffered = isinstance(protocol, BufferedProtocol)
        return 0

    # -- ending ---------------------------------------------------------------

    cdef int close(self) except -1:
        if self.life >= CLOSING:
            return 0
        # In this order: what fails to be sent ends it before it is closed.
        self.send_gathered()
        if self.life >= CLOSING:
            return 0
        self.life = CLOSING
        self.update_reading_or_end()
        if self.out.size == 0 and self.life == CLOSING:
            self.end(None)
        return 0

    cdef int send_gathered(self) except -1:
        """Send what the running callback has written: somebody is about to look."""
        return self.flush() if self.is_queued else 0

    def _send_gathered(self):
        self.send_gathered()

    cdef int abort(self, object exc) except -1:
        if self.life < ENDING:
            self.end(exc)
        return 0

    cdef int fatal(self, object exc, str message) except -1:
        if isinstance(exc, OSError):
            if self.loop._debug:
                logger.debug("%r: %s", self.transport, message,
                             exc_info=(type(exc), exc, exc.__traceback__))
        else:
            self.loop.call_exception_handler({
                "message": message,
                "exception": exc,
                "transport": self.transport,
                "protocol": self.protocol,
            })
        return self.abort(exc)

    cdef int end(self, object exc) except -1:
        """No bytes pass any more; connection_lost follows in the next iteration.

        It is queued among the ready callbacks now, as in asyncio: callbacks
        scheduled after a close run after connection_lost, with the descriptor
        closed.  By then the driver is usually detached: the end of this iteration
        submits the cancels, and the next one begins with their completions.
        Otherwise connection_lost waits for that.
        """
        self.life = ENDING
        self.is_reading = self.wants_room = False
        self.ending_exc = exc
        self.ending_context = PyContext_CopyCurrent()
        self.out.clear()
        self.held = None
        self.held_end = 0
        if self.empty_waiter is not None and not self.empty_waiter.done():
            self.empty_waiter.set_exception(
                ConnectionError("Connection is closed by peer"))
        self.call_connection_lost_soon()
        if not self.is_detaching():
            self.driver.detach()
        return 0

    cdef bint is_detaching(self) noexcept:
        """Is the driver detaching already?"""
        return False

    cdef int call_connection_lost_soon(self) except -1:
        return self.loop.schedule(self._call_connection_lost, (), self.ending_context)

    cdef int on_detached(self) except -1:
        """Called by the driver: the kernel holds nothing of this stream any more.

        If connection_lost has become due meanwhile, it is called now, even if the
        loop is about to stop: asyncio would have closed the descriptor by now.
        """
        assert not self.driver.is_in_kernel(), self
        if self.life == ENDING:
            self.life = DETACHED
        elif self.life == OVERDUE:
            self.life = DETACHED
            new_handle(
                self.loop, self._call_connection_lost, (), self.ending_context).run()
        return 0

    def _call_connection_lost(self):
        # Reaped is enough: what has yet to be dispatched is out of the kernel.
        if self.life == ENDING and self.driver.is_in_kernel():
            self.life = OVERDUE
            return
        exc = self.ending_exc
        self.life = ENDED
        try:
            self.protocol.connection_lost(exc)
        finally:
            self.unregister()
            self.close_descriptor()
            self.has_ended()

    cdef int has_ended(self) except -1:
        """The descriptor is closed: tell who waits for it."""
        return 0

    cdef int unregister(self) except -1:
        """Break the links to the loop, the server, the driver and the protocol."""
        if self.loop.streams_by_fd.get(self.fd) is self:
            del self.loop.streams_by_fd[self.fd]
        server, self.server = self.server, None
        if server is not None:
            if SERVER_NAMES_CLIENTS:
                server._detach(self.transport)
            else:
                server._detach()
        self.driver.serve(None)
        if self.shown_socket is not None:
            self.shown_socket.stream_has_ended()
        self.protocol = None
        self.transport = None
        self.ending_exc = None
        self.reader_context = self.writer_context = self.ending_context = None
        return 0

    cdef int close_descriptor(self) except -1:
        sock, self.sock = self.sock, None
        kept_open, self.kept_open = self.kept_open, None
        # get_extra_info still returns it later, when the descriptor may be reused.
        if self.sockname_known is None and self.fd >= 0:
            self.sockname_known = own_address(self.fd)
        if sock is not None:
            release_socket(kept_open)
            sock.close()
        elif self.fd >= 0:
            close_fd(self.fd)
        self.fd = -1
        if self.loop.waiting_for_fd:
            self.loop.fd_freed()
        return 0

    def orphan(self):
        """The loop is closing: detach the driver and call the protocol no more."""
        cdef bint is_detaching = self.life >= ENDING or self.is_detaching()
        self.life = ORPHANED
        self.is_reading = False
        if not is_detaching:
            self.driver.detach()
        self.driver.serve(None)

    def finish_orphaning(self):
        """The loop is closed: the last reference to the transport closes the descriptor."""
        if self.loop.streams_by_fd.get(self.fd) is self:
            del self.loop.streams_by_fd[self.fd]
        if self.shown_socket is not None:
            self.shown_socket.stream_has_ended()
        self.transport = None

    def transport_freed(self):
        """The transport was collected without a close; True if it was still open."""
        if self.life == ENDED or self.life == GIVEN_AWAY:
            return False
        self.life = ENDED
        self.close_descriptor()
        server, self.server = self.server, None
        if server is not None and not SERVER_NAMES_CLIENTS:
            server._detach()
        return True

    # -- the socket -----------------------------------------------------------

    cdef object get_socket(self):
        """The socket object, made when first asked for."""
        if self.sock is None:
            if self.fd >= 0 and self.life < ENDED:
                self.sock = socket.socket(
                    self.family, self.type, self.proto, fileno=self.fd)
                self.sock.setblocking(False)
                self.kept_open = hold_socket(self.sock)
            else:
                # Too late: return a closed socket, as asyncio's would be by now.
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
            self.shown_socket = StreamSocket(self.get_socket(), self._send_gathered)
            self.extra["socket"] = self.shown_socket
            if self.life >= ENDED:
                self.shown_socket.stream_has_ended()
            return self.shown_socket
        return {}.get(name, default)     # as asyncio: TypeError for an unhashable name

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

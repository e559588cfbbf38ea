"""A descriptor, the protocol it belongs to, and their life together.

    OPENING --> OPEN --> CLOSING --> ENDING --> ENDED
                  |                    ^
                  |'---- (abort) ------'
                  '--> GIVEN_AWAY

Opening is: tell the protocol, then read.  Closing is: stop reading, send what
was written, have the kernel let go, call connection_lost, close the
descriptor.  The descriptor is closed only when no operation of the kernel's
names it.

This is the lowest of the four layers of a Stream (stream.pyx), and it holds
the state of all of them.
"""

from cpython.contextvars cimport PyContext_Enter, PyContext_Exit
from posix.unistd cimport close as close_fd

from aioadapt._kernel.addresses cimport own_address, peer_address
from aioadapt._loop.core cimport Detachable
from aioadapt._loop.handle cimport new_handle, report_failure
from aioadapt._stream.life cimport (
    CLOSING,
    ENDED,
    ENDING,
    GIVEN_AWAY,
    Life,
    OPEN,
    OPENING,
)

import logging
import socket
from asyncio import BufferedProtocol

from aioadapt.stdlib_private import (
    SERVER_NAMES_CLIENTS,
    TransportSocket,
    hold_socket,
    release_socket,
    set_result_unless_cancelled,
)

cdef extern from "Python.h":
    object PyObject_CallMethodOneArg(object self, object name, object argument)

cdef object logger = logging.getLogger("asyncio")
cdef tuple LIFE_WORDS = (
    "opening", "open", "closing", "ending", "closed", "moved to another loop")


cdef object life_in_words(Life life):
    return LIFE_WORDS[<int> life]


cdef class Driver:
    """How the bytes of one stream move: the four moves, and nothing else."""

    cdef int serve(self, Endpoint stream) except -1:
        """Report to this stream from now on; to nobody, if it is None."""
        raise NotImplementedError

    cdef int start_reading(self) except -1:
        """Report what arrives, from now on."""
        raise NotImplementedError

    cdef int stop_reading(self) except -1:
        """Take no more; what has been taken already is still reported."""
        raise NotImplementedError

    cdef int send(self, bint immediately) except -1:
        """See to it that ``stream.out`` leaves; *at_once*: as much as fits now."""
        raise NotImplementedError

    cdef int detach(self) except -1:
        """Have the kernel hold nothing of the stream's; then ``on_detached``."""
        raise NotImplementedError

    cdef bint is_sending(self) noexcept:
        """May the kernel still be reading bytes that were written?"""
        return False

    cdef bint is_in_kernel(self) noexcept:
        """May the kernel still touch the descriptor, or memory, for this stream?"""
        return False


cdef class Endpoint(Detachable):
    """See the file's beginning."""

    def open(self, waiter=None):
        """Connect the protocol, then start reading, then tell the waiter."""
        cdef bint entered = False
        if self.life == OPENING:
            self.life = OPEN
        try:
            PyContext_Enter(self.context)
            entered = True
            self.protocol.connection_made(self.transport)
        except BaseException as exc:
            if entered:
                PyContext_Exit(self.context)
            if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                # The connection is there, whenever the loop runs again.
                self.update_reading()
                if waiter is not None:
                    set_result_unless_cancelled(waiter, None)
                raise
            made = self.protocol.connection_made
            report_failure(
                new_handle(self.loop, made, (self.transport,), self.context),
                made, (self.transport,), exc)
        else:
            PyContext_Exit(self.context)
        try:
            self.update_reading()
        except Exception as exc:
            # epoll refuses it, or has no room for one more.  For asyncio too
            # the connection is made, and deaf.
            report_failure(
                new_handle(self.loop, self.open, (waiter,), self.context),
                self.open, (waiter,), exc)
        if waiter is not None:
            set_result_unless_cancelled(waiter, None)

    cdef int update_reading(self) except -1:
        """The one place that decides whether the way reads."""
        cdef bint wanted = (
            self.life == OPEN and not self.is_paused and not self.is_settling
            and not self.eof_seen and not self.held and self.held_end == 0)
        if wanted != self.is_reading:
            self.is_reading = wanted
            if wanted:
                self.driver.start_reading()
            else:
                self.driver.stop_reading()
        return 0

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
        self.deliver_held_soon()
        self.update_reading()
        if self.loop._debug:
            logger.debug("%r resumes reading", self.transport)
        return 0

    cdef int deliver_held_soon(self) except -1:
        if self.held or self.held_end != 0:
            self.loop.push_ready(new_handle(self.loop, self._deliver_held, (), None))
        return 0

    def _deliver_held(self):
        raise NotImplementedError

    cdef object call_protocol(self, str name, object argument):
        """Call one of its methods in the stream's context; what it raises is raised."""
        PyContext_Enter(self.context)
        try:
            if argument is None:
                return getattr(self.protocol, name)()
            return PyObject_CallMethodOneArg(self.protocol, name, argument)
        finally:
            PyContext_Exit(self.context)

    cdef int set_protocol(self, object protocol) except -1:
        if self.exchange is not None and self.protocol is not None:
            # STARTTLS, a WebSocket: what passes from here on is not HTTP/1.
            self.exchange.give_up("the protocol was replaced")
        self.protocol = protocol
        self.is_buffered = isinstance(protocol, BufferedProtocol)
        return 0

    # -- ending ---------------------------------------------------------------

    cdef int close(self) except -1:
        if self.life >= CLOSING:
            return 0
        self.life = CLOSING
        self.update_reading()
        # asyncio has tried by now, and what is written after a close that has
        # left nothing to send is lost.
        self.send_untried()
        if self.out.size == 0 and self.life == CLOSING:
            self.end(None)
        return 0

    cdef int send_untried(self) except -1:
        """Let the socket take what was written in this iteration and waits for its end."""
        if self.out.size and self.is_queued and not self.protocol_paused \
                and self.life <= CLOSING:
            self.driver.send(True)
        return 0

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
        """Nothing passes any more; connection_lost follows, in the iteration after this one.

        It has its place among the ready callbacks now, as asyncio's has: what
        is scheduled after a close runs after connection_lost, with the
        descriptor closed.  By then the kernel has let go, as a rule: this
        iteration's end submits the cancels and the next one begins with their
        completions.  If not, connection_lost waits for it.
        """
        self.life = ENDING
        self.is_reading = False
        self.ending_exc = exc
        self.out.clear()
        self.held = None
        self.held_end = 0
        if self.empty_waiter is not None and not self.empty_waiter.done():
            self.empty_waiter.set_exception(
                ConnectionError("Connection is closed by peer"))
        self.call_connection_lost_soon()
        if not self.is_releasing:      # else the way is about it already
            self.driver.detach()
        return 0

    cdef int call_connection_lost_soon(self) except -1:
        return self.loop.push_ready(
            new_handle(self.loop, self._call_connection_lost, (), self.context))

    cdef int on_detached(self) except -1:
        """From the way: the kernel holds nothing of ours any more.

        Where connection_lost's turn has come meanwhile it is called now, even if
        the loop is about to stop: asyncio's descriptor would be closed by now.
        """
        if self.life == ENDING and not self.is_orphaned:
            self.is_releasing = False
            self.is_detached = True
            if self.lost_is_due:
                new_handle(self.loop, self._call_connection_lost, (), self.context).run()
        return 0

    def _call_connection_lost(self):
        # What was collected and has still to be dispatched is ours already.
        if not self.is_detached and self.driver.is_in_kernel():
            self.lost_is_due = True
            return
        exc = self.ending_exc
        release_handler, self.release_handler = self.release_handler, None
        self.life = ENDED
        try:
            self.protocol.connection_lost(exc)
        finally:
            self.unregister()
            self.close_descriptor()
            if release_handler is not None:
                release_handler.closed()

    cdef int unregister(self) except -1:
        """The loop, the server and the protocol have nothing more to do with us."""
        if self.loop.streams_by_fd.get(self.fd) is self:
            del self.loop.streams_by_fd[self.fd]
        server, self.server = self.server, None
        if server is not None:
            if SERVER_NAMES_CLIENTS:
                server._detach(self.transport)
            else:
                server._detach()
        self.driver.serve(None)
        self.protocol = None
        self.transport = None
        self.ending_exc = None
        self.tag = None              # a mover's, which knows us
        return 0

    cdef int close_descriptor(self) except -1:
        sock, self.sock = self.sock, None
        kept_open, self.kept_open = self.kept_open, None
        # Still answered for afterwards, when the number may be another's.
        if self.sockname_known is None and self.fd >= 0:
            self.sockname_known = own_address(self.fd)
        if sock is not None:
            release_socket(kept_open)
            sock.close()
        elif self.fd >= 0:
            close_fd(self.fd)
        self.fd = -1
        return 0

    def orphan(self):
        """The loop is closing: tell the protocol nothing more, have the kernel let go."""
        self.is_orphaned = True
        self.release_handler = None
        self.is_reading = False
        if self.life < ENDING:
            self.life = ENDING
        if not self.is_releasing:
            self.driver.detach()
        self.driver.serve(None)

    def finish_orphaning(self):
        """The loop is closed: who still has the transport owns the descriptor now."""
        if self.loop.streams_by_fd.get(self.fd) is self:
            del self.loop.streams_by_fd[self.fd]
        self.transport = None

    def transport_freed(self):
        """The transport of an abandoned stream is gone; true if it was still open."""
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
        """The socket object, made when somebody first asks for it."""
        if self.sock is None:
            if self.fd >= 0 and self.life < ENDED:
                self.sock = socket.socket(
                    self.family, self.type, self.proto, fileno=self.fd)
                self.sock.setblocking(False)
                self.kept_open = hold_socket(self.sock)
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
        return {}.get(name, default)     # asyncio looks in a dict, which refuses a list

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

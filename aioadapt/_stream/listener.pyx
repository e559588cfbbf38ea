"""Accepting connections: by readiness, on both engines.

Of several loops or processes on one listening socket, each that is awake takes a few
connections in an iteration.  A multishot accept of io_uring would hold a place in the
socket's wait queue, and whoever armed first would get everything, also while it is busy.

TCP_NODELAY is set on the listening socket, and on Linux accepted connections
inherit it.  That saves a call per connection, and responses sent in two parts do
not wait 40 ms for a delayed acknowledgement.
"""

from cpython.contextvars cimport PyContext_Exit
from libc.errno cimport (
    EAGAIN,
    ECONNABORTED,
    EINTR,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    EPERM,
    EPROTO,
    errno,
)
from libc.stdint cimport uint32_t

from aioadapt._http1.exchange cimport Exchange
from aioadapt._kernel.addresses cimport address_of
from aioadapt._kernel.linux cimport (
    EPOLLIN,
    FIONBIO,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    accept4,
    ioctl,
    sockaddr,
    sockaddr_storage,
    socklen_t,
)
from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.core cimport LoopCore
from aioadapt._loop.counters cimport count_failure
from aioadapt._loop.fd_callbacks cimport descriptor_of
from aioadapt._loop.handle cimport enter_context, new_handle, report_failure
from aioadapt._stream.accepting cimport ConnectionMaker
from aioadapt._stream.stream cimport Released, Stream, new_stream

import contextvars
import os
import socket
from operator import index

from aioadapt.stdlib_private import ACCEPT_RETRY_DELAY_S, TransportSocket, hold_socket

cdef enum:
    # Measured: with 4, 16 and 100, 1,024 connections to one loop have their first
    # answers equally soon.  With 100, two workers that share a burst of 400 get 100 and
    # 300 of it more often.  asyncio's is the backlog.
    ACCEPTS_PER_ITERATION = 16


cdef class Listener(ConnectionMaker):
    """One listening socket of one asyncio Server."""

    def __init__(self, loop, sock, protocol_factory, server, sslcontext, backlog, timeouts,
                 context=None):
        self.loop = loop
        self.sock = sock
        self.fd = descriptor_of(sock)
        self.family, self.type, self.proto = sock.family, sock.type, sock.proto
        self.sockname = sock.getsockname()
        self.protocol_factory = protocol_factory
        self.server = server
        self.sslcontext = sslcontext
        self.backlog = index(backlog)
        self.timeouts = timeouts
        self.context = contextvars.copy_context() if context is None else context
        if self.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kept_open = hold_socket(sock)

    def __repr__(self):
        words = "accepting" if self.is_accepting else "not accepting"
        return f"<{type(self).__name__} fd={self.fd}: {words}>"

    def resume(self):
        """Start accepting; does nothing if it does already."""
        if not self.is_accepting and self.loop.listeners.get(self.fd) is self:
            self.start()
            self.is_accepting = True

    def pause(self):
        """Stop accepting: connections in the socket's queue stay there."""
        if self.is_accepting:
            self.is_accepting = False
            self.stop()

    def _go_on(self):
        """After a break, unless something has stopped it meanwhile."""
        if self.is_accepting and self.loop.listeners.get(self.fd) is self:
            try:
                self.start()
            except OSError:
                # Nobody else would start it again.
                self.loop.call_later(ACCEPT_RETRY_DELAY_S, self._retry)
                raise

    def _retry(self):
        self.will_retry = False
        self._go_on()

    cdef int start(self) except -1:
        cdef AcceptWatch watch
        self.loop.check_not_forked()
        if self.watch is None:
            watch = AcceptWatch.__new__(AcceptWatch)
            watch.fd = self.fd
            watch.listener = self
            self.watch = watch
        return self.loop.poller.watch(self.watch, EPOLLIN)

    cdef int stop(self) except -1:
        self.loop.check_not_forked()
        return self.loop.poller.unregister(self.watch)

    cdef int accept_some(self) except -1:
        cdef sockaddr_storage address
        cdef socklen_t size
        cdef int fd, i, on = 1
        # O_NONBLOCK belongs to the open file, which duplicates share, and Python's
        # socket.dup() sets it to the mode of the object it duplicates.  So another
        # server's duplicate may just have made our socket blocking, and an accept
        # that finds nothing would then block the whole interpreter.
        ioctl(self.fd, FIONBIO, &on)
        for i in range(min(self.backlog, ACCEPTS_PER_ITERATION)):
            if not self.is_accepting:
                return 0
            size = sizeof(address)
            fd = accept4(self.fd, <sockaddr *> &address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd >= 0:
                self.accepted(fd, address_of(&address, size))
            elif errno == EAGAIN:
                if i == 0:
                    # Another loop on this socket was sooner.  The kernel wakes the
                    # newest registration first, so next time that is this loop.
                    self.stop()
                    self._go_on()
                return 0
            elif not is_transient(errno):
                return self.accept_failed(errno)
        return 0

    cdef int accept_failed(self, int error) except -1:
        """As asyncio: report it, and if resources have run out, retry after a delay.

        Or as soon as the loop closes a connection.
        """
        exc = OSError(error, os.strerror(error))
        if error in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
            self.stop()
            self.loop.when_fd_is_freed(self._go_on)
            if self.will_retry:
                return 0              # it has been reported less than a delay ago
            self.will_retry = True
            self.loop.call_later(ACCEPT_RETRY_DELAY_S, self._retry)
            count_failure(&self.loop.counted, error)
            self.loop.call_exception_handler({
                "message": "socket.accept() out of system resource",
                "exception": exc,
                "socket": TransportSocket(self.sock),
            })
        elif self.is_accepting:
            count_failure(&self.loop.counted, error)
            self.pause()
            self.loop.call_exception_handler({
                "message": "Accept failed on a socket",
                "exception": exc,
                "socket": TransportSocket(self.sock),
            })
        return 0


def adopt(loop, Released released, protocol_factory, server):
    """Serve a connection that another loop has released: see NativeLoop.adopt."""
    cdef LoopCore core = loop
    cdef Stream stream
    cdef Listener listener
    context = contextvars.copy_context()
    for listener in core.listeners.values():
        if listener.server is server:
            context = listener.context.copy()
    protocol = context.run(protocol_factory)
    stream = new_stream(loop, released.fd, released.family, released.type, released.proto,
                        protocol, server)
    stream.reader_context = context
    core.counted.moves_in += 1
    stream.id = released.id
    stream.tag = released.tag
    stream.requests_before = released.requests
    stream.peername_known = released.peername
    stream.sockname_known = released.sockname
    stream.last_byte_ns = <long long> (released.last_byte_at * 1e9)
    stream.exchange = Exchange.__new__(Exchange)
    if released.unread:
        stream.held = [released.unread]
    try:
        # Here asyncio sets no example, and the peer would wait forever.
        context.copy().run(stream.open, reads_or_ends=True)
        if stream.held:
            stream._deliver_held()
    except BaseException as exc:
        # SystemExit or KeyboardInterrupt: it should end the run, but the
        # connection is ours already.
        core.schedule(_raise, (exc,), None)
    return stream


def _raise(exc):
    raise exc


cdef bint is_transient(int error) noexcept:
    """Errors of a single incoming connection, no reason to stop: see accept(2)."""
    return error in (ECONNABORTED, EPROTO, EPERM, EINTR)


cdef class AcceptWatch(Watch):

    cdef int ready(self, uint32_t events) except -1:
        cdef Listener listener = self.listener
        cdef bint entered = enter_context(listener.context)
        try:
            return listener.accept_some()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            # A task factory has failed.
            accept = listener.resume
            report_failure(new_handle(listener.loop, accept, (), None), accept, (), exc)
        finally:
            if entered:
                PyContext_Exit(listener.context)
        return 0

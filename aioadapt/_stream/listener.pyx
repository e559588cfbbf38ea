"""Accepting connections, on both engines.

In one iteration a listener accepts all connections that are waiting, up to its
backlog.  A connection that was accepted is served even if the listener is stopped
at the same time: with io_uring it may already be in a completion.

TCP_NODELAY is set on the listening socket, and on Linux accepted connections
inherit it.  That saves a call per connection, and responses sent in two parts do
not wait 40 ms for a delayed acknowledgement.
"""

cimport cython
from cpython.contextvars cimport PyContext_Copy, PyContext_Enter, PyContext_Exit
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
from posix.unistd cimport close as close_fd

from aioadapt._http1.exchange cimport Exchange
from aioadapt._kernel.addresses cimport address_of, peer_address
from aioadapt._kernel.liburing cimport io_uring_prep_multishot_accept, io_uring_sqe
from aioadapt._kernel.linux cimport (
    ECANCELED,
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
from aioadapt._kernel.op cimport OP_IDLE, Op
from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.core cimport LoopCore
from aioadapt._loop.counters cimport count_failure
from aioadapt._loop.fd_callbacks cimport descriptor_of
from aioadapt._loop.handle cimport new_handle
from aioadapt._stream.epoll_driver cimport EpollCore
from aioadapt._stream.stream cimport Released, Stream, new_stream
from aioadapt._stream.uring_core cimport UringCore

import contextvars
import os
import socket
from operator import index

from aioadapt.stdlib_private import ACCEPT_RETRY_DELAY_S, TransportSocket, hold_socket


cdef class Listener:
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
            self.is_accepting = True
            self.start()

    def pause(self):
        """Stop accepting: connections in the socket's queue stay there."""
        if self.is_accepting:
            self.is_accepting = False
            self.stop()

    def _retry(self):
        if self.is_accepting and self.loop.listeners.get(self.fd) is self:
            self.start()

    cdef int start(self) except -1:
        raise NotImplementedError

    cdef int stop(self) except -1:
        raise NotImplementedError

    cdef int accepted(self, int fd, object peername) except -1:
        cdef Stream stream
        self.loop.counted.accepts += 1
        context = PyContext_Copy(self.context)
        if self.sslcontext is not None:
            PyContext_Enter(context)
            try:
                self.accepted_for_tls(fd, peername)
            finally:
                PyContext_Exit(context)
            return 0
        PyContext_Enter(context)
        try:
            protocol = self.protocol_factory()
            stream = new_stream(self.loop, fd, self.family, self.type, self.proto,
                                protocol, self.server, context)
        except BaseException as exc:
            PyContext_Exit(context)
            close_fd(fd)
            if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                raise
            if self.loop._debug:
                self.loop.call_exception_handler({
                    "message": "Error on transport creation for incoming connection",
                    "exception": exc,
                })
            return 0
        else:
            PyContext_Exit(context)
        stream.peername_known = peername
        if self.loop.watch_http1:
            stream.exchange = Exchange.__new__(Exchange)
        stream.open()
        return 0

    def accepted_for_tls(self, fd, peername):
        """asyncio's coroutine creates the SSLProtocol and waits for the handshake."""
        sock = socket.socket(self.family, self.type, self.proto, fileno=fd)
        sock.setblocking(False)
        self.loop.create_task(self.loop._accept_connection2(
            self.protocol_factory, sock, {"peername": peername}, self.sslcontext,
            self.server, *self.timeouts))

    cdef int accept_failed(self, int error) except -1:
        """As asyncio: report it, and if resources have run out, retry after a delay."""
        exc = OSError(error, os.strerror(error))
        count_failure(&self.loop.counted, error)
        if error in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
            self.loop.call_exception_handler({
                "message": "socket.accept() out of system resource",
                "exception": exc,
                "socket": TransportSocket(self.sock),
            })
            self.stop()
            self.loop.call_later(ACCEPT_RETRY_DELAY_S, self._retry)
        elif self.is_accepting:
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
    context = None
    for listener in core.listeners.values():
        if listener.server is server:
            context = listener.context
    context = contextvars.copy_context() if context is None else PyContext_Copy(context)
    protocol = context.run(protocol_factory)
    stream = new_stream(loop, released.fd, released.family, released.type, released.proto,
                        protocol, server, context)
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
        stream.open()
        if stream.held:
            stream._deliver_held()
    except BaseException as exc:
        # SystemExit or KeyboardInterrupt: it should end the run, but the
        # connection is ours already.
        core.push_ready(new_handle(loop, _raise, (exc,), None))
    return stream


def _raise(exc):
    raise exc


cdef bint is_transient(int error) noexcept:
    """Errors of a single incoming connection, no reason to stop: see accept(2)."""
    return error in (ECONNABORTED, EPROTO, EPERM, EINTR)


cdef class EpollListener(Listener):

    cdef int start(self) except -1:
        cdef AcceptWatch watch
        self.loop.check_not_forked()
        if self.watch is None:
            watch = AcceptWatch.__new__(AcceptWatch)
            watch.fd = self.fd
            watch.listener = self
            self.watch = watch
        return (<EpollCore> self.loop).poller.watch(self.watch, EPOLLIN)

    cdef int stop(self) except -1:
        self.loop.check_not_forked()
        return (<EpollCore> self.loop).poller.unregister(self.watch)

    cdef int accept_some(self) except -1:
        cdef sockaddr_storage address
        cdef socklen_t size
        cdef int fd, _, on = 1
        # O_NONBLOCK belongs to the open file, which duplicates share, and Python's
        # socket.dup() sets it to the mode of the object it duplicates.  So another
        # server's duplicate may just have made our socket blocking, and an accept
        # that finds nothing would then block the whole interpreter.
        ioctl(self.fd, FIONBIO, &on)
        for _ in range(self.backlog):
            if not self.is_accepting:
                return 0
            size = sizeof(address)
            fd = accept4(self.fd, <sockaddr *> &address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd >= 0:
                self.accepted(fd, address_of(&address, size))
            elif errno == EAGAIN:
                return 0
            elif not is_transient(errno):
                return self.accept_failed(errno)
        return 0


cdef class AcceptWatch(Watch):

    cdef int ready(self, uint32_t events) except -1:
        return self.listener.accept_some()


cdef class UringListener(Listener):

    cdef int start(self) except -1:
        if self.op is None:
            self.op = AcceptOp.__new__(AcceptOp)
            self.op.fd = self.fd
            self.op.listener = self
        if self.op.state == OP_IDLE:
            return (<UringCore> self.loop).begin(self.op)
        return 0                     # restarted at its last completion

    cdef int stop(self) except -1:
        (<UringCore> self.loop).cancel(self.op)
        # Now, not at the end of the iteration: until then the kernel keeps the
        # socket listening, and nothing else can bind the port.
        return (<UringCore> self.loop).submit()


@cython.no_gc_clear
cdef class AcceptOp(Op):
    """A multishot accept."""

    cdef void prepare(self, io_uring_sqe *sqe) noexcept:
        io_uring_prep_multishot_accept(
            sqe, self.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)

    cdef int completed(self, int result, unsigned flags, bint last) except -1:
        cdef UringListener listener = self.listener
        if last and listener.is_accepting and (result >= 0 or is_transient(-result)
                                               or result in (-ECANCELED, -EAGAIN)):
            listener.start()
        if result >= 0:
            # Accepted just before a pause: served, not dropped.
            if listener.loop.listeners.get(listener.fd) is not listener:
                close_fd(result)
                return 0
            return listener.accepted(result, peer_address(result))
        if last and result != -ECANCELED and not is_transient(-result) and result != -EAGAIN:
            return listener.accept_failed(-result)
        return 0

"""Shared base of the loops: asyncio's selector loop with our transports.

Connection and server set-up, name resolution, executors, subprocesses, pipes,
signals, TLS and debug mode remain asyncio's code.  It reaches the kernel through
``_add_reader`` and its three siblings, which the loop core implements, and through
the few hooks overridden here.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVarTuple

from ._datagram.transport import connect_datagrams
from ._stream.listener import Listener, adopt
from ._stream.transport import StreamTransport, connect_stream
from .errors import LoopStoppedError
from .nesting import Nesting, beside_a_running_loop
from .pipes import ReadPipeTransport
from .selector_view import FdCallbacksView
from .sendfile import send_file
from .sock_calls import SockCalls
from .socket_methods import (
    DATAGRAM_CALLS,
    LISTENER_CALLS,
    STREAM_CALLS,
    given,
    has_own,
)
from .stats import LoopStats
from .stdlib_private import SSLProtocol, child_watcher_was_set, release_socket
from .subprocesses import SubprocessTransport, pidfds_work, start_subprocess

if TYPE_CHECKING:
    from ._stream.stream import Released, Stream

ProtocolFactory = Callable[[], asyncio.BaseProtocol]
_Ts = TypeVarTuple("_Ts")


class NativeLoop(SockCalls, Nesting):
    """Shared by both loops, in whose MRO a LoopCore precedes it."""

    #: Set by each engine's loop; ``engine`` is also its name in ``LoopStats``.
    _stream_driver_type: Any
    _datagram_driver_type: Any
    engine: str

    #: Whether to watch the HTTP/1 messages of every plain server connection.
    #: Only a watched connection can move.  Set it before connections are made.
    watch_http1 = False

    # Provided by LoopCore; declared for the type checker.
    streams_by_fd: dict[int, Stream]
    listeners: dict[int, Any]
    fd_callbacks: dict[int, Any]
    post: Callable[[Any], None]
    close_inbox: Callable[[], None]
    yield_to: Callable[[Any], None]
    _count: Callable[[], dict[str, Any]]
    _engine_counts: Callable[[], dict[str, Any]]
    _check_can_close: Callable[[], None]
    _close_engine: Callable[[], None]
    _close_wakeup: Callable[[], None]
    _close_engine_in_child: Callable[[], None]
    _drop_everything: Callable[[], None]
    _is_forked_copy: Callable[[], bool]
    _submit: Callable[[], None]

    if TYPE_CHECKING:

        def _remove_reader(self, fd: Any) -> bool: ...
        def _ensure_fd_no_transport(self, fd: Any) -> None: ...

    def __init__(self) -> None:
        #: Descriptor -> endpoint, and the buffers they all receive into, made when
        #: first needed.
        self.datagrams_by_fd: dict[int, Any] = {}
        self._arrivals: Any = None
        #: Pidfd -> child process that has not exited.
        self.children: dict[int, SubprocessTransport] = {}
        super().__init__(FdCallbacksView(self.fd_callbacks))

    # -- wake-ups: an eventfd, and a socket pair for signals only -------------

    def _make_self_pipe(self) -> None:
        self._ssock: socket.socket | None = None
        self._csock: socket.socket | None = None
        self._internal_fds = 1  # the eventfd

    def _close_self_pipe(self) -> None:
        if self._ssock is not None and self._csock is not None:
            # Of a loop that was dropped unclosed the collector may have closed it already.
            if (fd := self._ssock.fileno()) >= 0:
                self._remove_reader(fd)
            self._ssock.close()
            self._csock.close()
            self._ssock = self._csock = None
        self._internal_fds = 0

    def add_signal_handler(
        self, sig: int, callback: Callable[[*_Ts], Any], *args: *_Ts
    ) -> None:
        """See asyncio's documentation."""
        if self._csock is None and not self.is_closed():
            # Python writes a signal number as a single byte, which an eventfd
            # does not accept.
            super()._make_self_pipe()  # type: ignore[misc]
        super().add_signal_handler(sig, callback, *args)

    # -- connections ----------------------------------------------------------

    def _new_stream_driver(self) -> Any:
        return self._stream_driver_type(self)

    def _new_transport(self, stream: Stream) -> StreamTransport:
        return StreamTransport(stream)

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: asyncio.Server | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Transport:
        self._ensure_fd_no_transport(sock)
        if has_own(STREAM_CALLS, sock):
            transport: asyncio.Transport = super()._make_socket_transport(  # type: ignore[misc]
                sock, protocol, waiter, extra=extra, server=server, **given(context)
            )
            return transport
        return connect_stream(self, sock, protocol, waiter, extra, server, context)

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: Any,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: asyncio.Server | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Transport:
        self._ensure_fd_no_transport(rawsock)
        if has_own(STREAM_CALLS, rawsock):
            transport: asyncio.Transport = super()._make_ssl_transport(  # type: ignore[misc]
                rawsock,
                protocol,
                sslcontext,
                waiter,
                server_side=server_side,
                server_hostname=server_hostname,
                extra=extra,
                server=server,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
                **given(context),
            )
            return transport
        tls = SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        connect_stream(self, rawsock, tls, None, extra, server, context)
        app_transport: asyncio.Transport = tls._app_transport
        return app_transport

    def _new_datagram_driver(self) -> Any:
        return self._datagram_driver_type(self)

    def _make_datagram_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        address: Any = None,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> asyncio.DatagramTransport:
        self._ensure_fd_no_transport(sock)
        if has_own(DATAGRAM_CALLS, sock):
            transport: asyncio.DatagramTransport = super()._make_datagram_transport(  # type: ignore[misc]
                sock, protocol, address, waiter, extra
            )
            return transport
        return connect_datagrams(self, sock, protocol, address, waiter, extra)

    async def _sendfile_native(
        self, transp: asyncio.Transport, file: Any, offset: int, count: int | None
    ) -> int:
        """sendfile(2) on the transport's socket, while the transport writes nothing."""
        if not isinstance(transp, StreamTransport):
            sent: int = await super()._sendfile_native(transp, file, offset, count)  # type: ignore[misc]
            return sent
        sock = transp.get_extra_info("socket")._sock
        was_reading = transp.is_reading()
        transp.pause_reading()
        await transp._make_empty_waiter()
        transp._stream.mark_opaque()
        try:
            if transp._stream.closed:
                # It was closed while it waited, and its descriptor goes in a moment.
                raise ConnectionError(
                    "the transport was closed before the file was sent"
                )
            self._check_sendfile_params(sock, file, offset, count)  # type: ignore[attr-defined]
            return await send_file(self, sock, file, offset, count)
        finally:
            transp._reset_empty_waiter()
            if was_reading:
                transp.resume_reading()

    # -- pipes ----------------------------------------------------------------

    def _make_read_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> ReadPipeTransport:
        return ReadPipeTransport(self, pipe, protocol, waiter, extra)

    # -- child processes ------------------------------------------------------

    async def _make_subprocess_transport(
        self,
        protocol: asyncio.BaseProtocol,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: Any = None,
        **options: Any,
    ) -> Any:
        start: Any = functools.partial(start_subprocess, self)
        if child_watcher_was_set() or not pidfds_work():
            start = super()._make_subprocess_transport  # type: ignore[misc]
        return await start(
            protocol,
            args,
            shell,
            stdin,
            stdout,
            stderr,
            bufsize,
            extra=extra,
            **options,
        )

    # -- servers --------------------------------------------------------------

    def _start_serving(
        self,
        protocol_factory: ProtocolFactory,
        sock: socket.socket,
        sslcontext: Any = None,
        server: asyncio.Server | None = None,
        backlog: int = 100,
        *timeouts: float | None,
        context: contextvars.Context | None = None,
    ) -> None:
        self._check_closed()  # type: ignore[attr-defined]
        if has_own(LISTENER_CALLS, sock):
            super()._start_serving(  # type: ignore[misc]
                protocol_factory,
                sock,
                sslcontext,
                server,
                backlog,
                *timeouts,
                **given(context),
            )
            return
        listener = Listener(
            self,
            sock,
            protocol_factory,
            server,
            sslcontext,
            backlog,
            timeouts,
            context,
        )
        self.listeners[sock.fileno()] = listener
        try:
            listener.resume()
        except OSError:
            del self.listeners[sock.fileno()]
            release_socket(listener.kept_open)
            raise

    def _stop_serving(self, sock: socket.socket) -> None:
        listener = self.listeners.pop(sock.fileno(), None)
        if listener is not None:
            listener.pause()
        # Closes the socket; since 3.13 it also unlinks a Unix path.
        super()._stop_serving(sock)  # type: ignore[misc]
        if listener is not None:
            # Last: if its owner has closed the socket already, this closes it.
            release_socket(listener.kept_open)

    def serving_on(
        self, sockname: Any
    ) -> tuple[ProtocolFactory, asyncio.Server] | None:
        """The factory and the server, without TLS, on a local address; None if none."""
        for listener in list(self.listeners.values()):
            if listener.sslcontext is None and _listens_on(listener, sockname):
                return listener.protocol_factory, listener.server
        return None

    # -- moving ---------------------------------------------------------------

    def streams(self) -> list[Stream]:
        """All connections of the loop's servers; from any thread."""
        streams = list(self.streams_by_fd.values())
        return [stream for stream in streams if stream.is_served]

    def adopt(
        self,
        released: Released,
        protocol_factory: ProtocolFactory,
        server: asyncio.Server,
    ) -> Stream:
        """Serve a connection that another loop has released.

        A protocol is created, ``connection_made`` is called, the unread bytes are
        delivered, and only then is the socket read.

        Raises:
            LoopStoppedError: this loop is closed.
            Exception: what the factory raises.  In either case the descriptor is
                still the caller's.
        """
        if self.is_closed():
            raise LoopStoppedError(f"{self!r} is closed and cannot adopt a connection")
        return adopt(self, released, protocol_factory, server)

    def submit_reads(self) -> None:
        """Submit every read that was armed in this iteration to the kernel."""
        self._submit()

    # -- running, counting and ending ---------------------------------------------

    def run_forever(self) -> None:
        """See asyncio's documentation."""
        if self._is_run_within():
            self._run_forever_within()
            return
        with beside_a_running_loop():
            # Python 3.13.0 cleans up even after a run that it refuses, and so breaks
            # the run that is in progress.
            self._check_closed()  # type: ignore[attr-defined]
            self._check_running()  # type: ignore[attr-defined]
            self._until_stopped = True
            try:
                super().run_forever()
            finally:
                self._until_stopped = False

    def stats(self) -> LoopStats:
        """The counters so far; from any thread."""
        return LoopStats(engine=self.engine, **self._count(), **self._engine_counts())

    def close(self) -> None:
        """Cancel what the kernel holds, wait for the end of it, close as asyncio does.

        A connection that is still open then belongs to its transport: it is closed,
        with a ResourceWarning, when the transport is garbage-collected.

        Raises:
            RuntimeError: the loop is running.
            WrongThreadError: an io_uring has operations in flight, and the thread
                that ran it is alive: only that thread can close the loop.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        if self._is_forked_copy():
            self._close_engine_in_child()
            self._ssock = self._csock = None
            self._signal_handlers: dict[int, Any] = {}
        else:
            self._check_can_close()
            self._close_self_pipe()
            for child in list(self.children.values()):
                child._stop_watching()
            for listener in list(self.listeners.values()):
                listener.pause()
                release_socket(listener.kept_open)
            self.listeners.clear()
            endpoints = [*self.streams_by_fd.values(), *self.datagrams_by_fd.values()]
            for endpoint in endpoints:
                endpoint.orphan()
            self.close_inbox()
            self._drop_everything()
            self._close_engine()
            self._close_wakeup()
            for endpoint in endpoints:
                endpoint.finish_orphaning()
        super().close()

    def __del__(self, _is_exiting: Callable[[], bool] = sys.is_finalizing) -> None:
        if not hasattr(self, "_internal_fds"):
            return  # it could not be made, for want of descriptors
        try:
            super().__del__()
        except (AttributeError, ImportError, NameError, TypeError):
            # At its exit the interpreter sets the names in modules to None, one
            # module after the other.  A loop that another module refers to is freed
            # while that goes on; what close() cannot reach any more, the end of the
            # process closes.  asyncio's loop, which refers to itself, is freed
            # later, when nothing is shown.
            if not _is_exiting():
                raise


def _listens_on(listener: Any, sockname: Any) -> bool:
    own = listener.sockname
    if own == sockname:
        return True
    if listener.family not in (socket.AF_INET, socket.AF_INET6) or not sockname:
        return False
    return own[0] in ("0.0.0.0", "::") and bool(own[1] == sockname[1])

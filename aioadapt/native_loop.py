"""What both loops are above the iteration: an asyncio selector loop with other transports.

Set-up of connections and servers, name resolution, executors, subprocesses,
pipes, signals, TLS and debug mode stay asyncio's own code.  It
reaches the kernel through ``_add_reader`` and its three brothers, which are
the iteration's, and through the few hooks overridden here.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import selectors
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVarTuple

from ._datagram.transport import NativeDatagramTransport, connect_datagrams
from ._stream.listener import adopt
from ._stream.transport import StreamTransport, connect_stream
from .errors import LoopStoppedError
from .pipes import ReadPipeTransport
from .sendfile import send_file
from .sock_calls import SockCalls
from .stats import LoopStats
from .stdlib_private import SSLProtocol, child_watcher_was_set, release_socket
from .subprocesses import SubprocessTransport, pidfds_work, start_subprocess

if TYPE_CHECKING:
    from ._stream.stream import Released, Stream

ProtocolFactory = Callable[[], asyncio.BaseProtocol]
_Ts = TypeVarTuple("_Ts")


class FdCallbacksView(selectors.BaseSelector):
    """What asyncio's own transports may ask of a selector: is a descriptor watched?

    Waiting is the iteration's business, so the rest of a selector is not here.
    """

    def __init__(self, callbacks: dict[int, Any]) -> None:
        self._callbacks = callbacks

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        callbacks = self._callbacks[fd]
        events = 0
        if callbacks.reader is not None:
            events |= selectors.EVENT_READ
        if callbacks.writer is not None:
            events |= selectors.EVENT_WRITE
        data = callbacks.reader, callbacks.writer
        return selectors.SelectorKey(fileobj, callbacks.fd, events, data)

    def get_map(self) -> dict[Any, selectors.SelectorKey]:
        return {fd: self.get_key(fd) for fd in self._callbacks}

    def close(self) -> None:
        pass

    def register(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        raise NotImplementedError("use loop.add_reader or loop.add_writer")

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        raise NotImplementedError("use loop.remove_reader or loop.remove_writer")

    def select(self, timeout: float | None = None) -> list[Any]:
        raise NotImplementedError("the loop waits by itself")


class NativeLoop(SockCalls):
    """The part that EpollEventLoop and UringEventLoop share; a LoopCore comes before it."""

    #: How bytes move, what serves a listening socket, and how ``LoopStats`` calls the engine.
    _stream_driver_type: Any
    _datagram_driver_type: Any
    _listener_type: Any
    engine: str

    #: Give every plain server connection a watcher of its HTTP/1 messages.
    #: Only a watched connection can move.  To be set before connections are made.
    watch_http1 = False

    # The LoopCore's, named for the type checker.
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
    _close_inbox_for_good: Callable[[], None]
    _close_engine_in_child: Callable[[], None]
    _drop_everything: Callable[[], None]
    _is_forked_copy: Callable[[], bool]
    _submit: Callable[[], None]

    if TYPE_CHECKING:

        def _remove_reader(self, fd: Any) -> bool: ...
        def _ensure_fd_no_transport(self, fd: Any) -> None: ...

    def __init__(self) -> None:
        #: Descriptor -> endpoint, and where all of them receive; made for the first.
        self.datagrams_by_fd: dict[int, Any] = {}
        self._arrivals: Any = None
        #: Pidfd -> child process that has not ended.
        self.children: dict[int, SubprocessTransport] = {}
        super().__init__(FdCallbacksView(self.fd_callbacks))

    # -- waking: an eventfd, and a socket pair only for signals ---------------

    def _make_self_pipe(self) -> None:
        self._ssock: socket.socket | None = None
        self._csock: socket.socket | None = None
        self._internal_fds = 1  # the eventfd

    def _close_self_pipe(self) -> None:
        if self._ssock is not None and self._csock is not None:
            self._remove_reader(self._ssock.fileno())
            self._ssock.close()
            self._csock.close()
            self._ssock = self._csock = None
        self._internal_fds = 0

    def add_signal_handler(
        self, sig: int, callback: Callable[[*_Ts], Any], *args: *_Ts
    ) -> None:
        """See asyncio's documentation."""
        if self._csock is None and not self.is_closed():
            # Python writes signal numbers as single bytes, which an eventfd
            # does not take.
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
    ) -> StreamTransport:
        self._ensure_fd_no_transport(sock)
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
    ) -> NativeDatagramTransport:
        self._ensure_fd_no_transport(sock)
        return connect_datagrams(self, sock, protocol, address, waiter, extra)

    async def _sendfile_native(
        self, transp: StreamTransport, file: Any, offset: int, count: int | None
    ) -> int:
        """sendfile(2) past the transport, which writes nothing meanwhile."""
        sock = transp.get_extra_info("socket")._sock
        was_reading = transp.is_reading()
        transp.pause_reading()
        await transp._make_empty_waiter()
        transp._stream.mark_opaque()
        try:
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
        listener = self._listener_type(
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
        listener.resume()

    def _stop_serving(self, sock: socket.socket) -> None:
        listener = self.listeners.pop(sock.fileno(), None)
        if listener is not None:
            listener.pause()
        # It closes the socket; since 3.13 it unlinks a Unix path too.
        super()._stop_serving(sock)  # type: ignore[misc]
        if listener is not None:
            # Last: where its owner has closed it already, this closes it.
            release_socket(listener.kept_open)

    def serving_on(
        self, sockname: Any
    ) -> tuple[ProtocolFactory, asyncio.Server] | None:
        """The plain server of this loop that listens on a local address, if there is one."""
        for listener in list(self.listeners.values()):
            if listener.sslcontext is None and _listens_on(listener, sockname):
                return listener.protocol_factory, listener.server
        return None

    # -- moving ---------------------------------------------------------------

    def streams(self) -> list[Stream]:
        """Every connection of the loop's servers; from any thread."""
        streams = list(self.streams_by_fd.values())
        return [stream for stream in streams if stream.is_served]

    def adopt(
        self,
        released: Released,
        protocol_factory: ProtocolFactory,
        server: asyncio.Server,
    ) -> Stream:
        """Serve a connection that another loop has let go of.

        A protocol is made, told of the connection, given what nobody has seen
        yet, and only then the socket is read from.

        Raises:
            LoopStoppedError: this loop is closed.
            Exception: what the factory raises.  The descriptor is still the
                caller's in either case.
        """
        if self.is_closed():
            raise LoopStoppedError(f"{self!r} is closed and adopts no connection")
        return adopt(self, released, protocol_factory, server)

    def submit_reads(self) -> None:
        """Have the kernel know of every read that was armed in this iteration."""
        self._submit()

    # -- running, counting and ending ---------------------------------------------

    def run_forever(self) -> None:
        """See asyncio's documentation."""
        # 3.13.0 cleans up after a run that it has refused, and so forgets the
        # one that goes on.
        self._check_closed()  # type: ignore[attr-defined]
        self._check_running()  # type: ignore[attr-defined]
        self._until_stopped = True
        try:
            super().run_forever()
        finally:
            self._until_stopped = False

    def stats(self) -> LoopStats:
        """What was counted so far; from any thread."""
        return LoopStats(engine=self.engine, **self._count(), **self._engine_counts())

    def close(self) -> None:
        """Have the kernel let go of everything, then close as asyncio does.

        Connections that are still open become their transports' own: they
        close when the transport is collected, with a ResourceWarning.

        Raises:
            RuntimeError: the loop is running.
            WrongThreadError: an io_uring with operations in flight can be
                closed only on the thread that ran it, while that is alive.
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
                child._watch_no_more()
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
            self._close_inbox_for_good()
            for endpoint in endpoints:
                endpoint.finish_orphaning()
        super().close()


def _listens_on(listener: Any, sockname: Any) -> bool:
    own = listener.sockname
    if own == sockname:
        return True
    if listener.family not in (socket.AF_INET, socket.AF_INET6) or not sockname:
        return False
    return own[0] in ("0.0.0.0", "::") and bool(own[1] == sockname[1])

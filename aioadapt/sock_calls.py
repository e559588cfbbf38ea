"""loop.sock_*: awaitable operations on plain sockets.

Each call is tried immediately and waits only if it would block.  The loop core then
repeats it as soon as the descriptor is ready, and the waiting task runs in that same
iteration, with no callback queued in between.  When the future is done, only the
watch is left to remove, and ``end`` does that in every case.

Checks, errors and their messages are asyncio's.  ``sock_accept``, ``sock_connect``
and ``sock_sendto`` are asyncio's implementations: what they wait for costs so much
more than the waiting that implementing them here gained nothing.  One thing differs:
a Unix socket with a full listen queue refuses connections, where asyncio takes them for
made.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

from .stdlib_private import check_ssl_socket

BLOCKING = "the socket must be non-blocking"
WOULD_BLOCK = (BlockingIOError, InterruptedError)


class SockCalls(asyncio.SelectorEventLoop):
    """The part of a loop that implements ``sock_*``."""

    # Provided by LoopCore; declared for the type checker.
    _debug: bool
    _attempt: Callable[..., Any]

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """See asyncio's documentation."""
        check_ssl_socket(sock)
        if self._debug and sock.gettimeout() != 0:
            raise ValueError(BLOCKING)
        try:
            return sock.recv(n)
        except WOULD_BLOCK:
            pass
        attempt = self._attempt(sock, False, sock.recv, n)
        try:
            data: bytes = await attempt.future
            return data
        finally:
            attempt.end()

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """See asyncio's documentation."""
        check_ssl_socket(sock)
        if self._debug and sock.gettimeout() != 0:
            raise ValueError(BLOCKING)
        try:
            return sock.recv_into(buf)
        except WOULD_BLOCK:
            pass
        attempt = self._attempt(sock, False, sock.recv_into, buf)
        try:
            count: int = await attempt.future
            return count
        finally:
            attempt.end()

    async def sock_recvfrom(
        self, sock: socket.socket, bufsize: int
    ) -> tuple[bytes, Any]:
        """See asyncio's documentation."""
        check_ssl_socket(sock)
        if self._debug and sock.gettimeout() != 0:
            raise ValueError(BLOCKING)
        try:
            return sock.recvfrom(bufsize)
        except WOULD_BLOCK:
            pass
        attempt = self._attempt(sock, False, sock.recvfrom, bufsize)
        try:
            received: tuple[bytes, Any] = await attempt.future
            return received
        finally:
            attempt.end()

    async def sock_recvfrom_into(
        self, sock: socket.socket, buf: Any, nbytes: int = 0
    ) -> tuple[int, Any]:
        """See asyncio's documentation."""
        check_ssl_socket(sock)
        if self._debug and sock.gettimeout() != 0:
            raise ValueError(BLOCKING)
        if not nbytes:
            nbytes = len(buf)
        try:
            return sock.recvfrom_into(buf, nbytes)
        except WOULD_BLOCK:
            pass
        attempt = self._attempt(sock, False, sock.recvfrom_into, buf, nbytes)
        try:
            received: tuple[int, Any] = await attempt.future
            return received
        finally:
            attempt.end()

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """See asyncio's documentation."""
        check_ssl_socket(sock)
        if self._debug and sock.gettimeout() != 0:
            raise ValueError(BLOCKING)
        try:
            sent = sock.send(data)
        except WOULD_BLOCK:
            sent = 0
        # send counts bytes, whatever the size of the buffer's items.
        view = memoryview(data)
        if sent == view.nbytes:
            return
        rest = view.cast("B")[sent:]

        def send_more() -> None:
            nonlocal rest
            rest = rest[sock.send(rest) :]
            if rest:
                raise BlockingIOError

        attempt = self._attempt(sock, True, send_more)
        try:
            await attempt.future
        finally:
            attempt.end()

    def _sock_connect_cb(
        self, fut: asyncio.Future[None], sock: socket.socket, address: Any
    ) -> None:
        """asyncio's: the end of a connect(2) that could not be completed at once."""
        if sock.family == socket.AF_UNIX and not fut.done():
            # Unlike others, it has not begun either, and epoll does not tell when it
            # could: there is nothing to wait for.
            fut.set_exception(
                BlockingIOError(
                    errno.EAGAIN,
                    f"Connect call failed {address!r}: the server's listen queue is full",
                )
            )
            return
        try:
            super()._sock_connect_cb(fut, sock, address)  # type: ignore[misc]
        finally:
            # The future's exception has this frame in its traceback: a cycle.
            del fut

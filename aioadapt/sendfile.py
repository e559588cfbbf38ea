"""A transport's file is sent by sendfile(2), while the transport watches its socket.

asyncio waits for room with ``add_writer``, which goes by the descriptor's number: a
transport that is closed meanwhile gives it away, and the next file at that number
would be waited for.

So room is waited for with an epoll object that holds the socket and nothing else.
It is readable when there is room, and a descriptor that is closed leaves it by
itself.  Errors, their texts and the file's position afterwards are asyncio's, and
so is what each iteration sends: as much as the socket takes at once.
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket
from asyncio import SendfileNotAvailableError
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .native_loop import NativeLoop


async def send_file(
    loop: NativeLoop, sock: socket.socket, file: Any, offset: int, count: int | None
) -> int:
    """Send *file* from *offset* on: *count* bytes, or all there is.

    Returns:
        How many bytes were sent.

    Raises:
        SendfileNotAvailableError: sendfile(2) is not for this file; nothing was sent.
        OSError: what ended the connection.
    """
    try:
        file_fd = file.fileno()
    except (AttributeError, io.UnsupportedOperation):
        raise SendfileNotAvailableError("not a regular file") from None
    try:
        size = os.fstat(file_fd).st_size
    except OSError:
        raise SendfileNotAvailableError("not a regular file") from None
    if not (count or size):
        return 0
    try:
        room = select.epoll(1)
    except OSError as exc:
        raise SendfileNotAvailableError(
            f"cannot make an epoll object to wait for room with: {exc.strerror}"
        ) from exc

    sent = 0

    def send_some() -> int:
        nonlocal sent
        rest = count - sent if count else size
        now = os.sendfile(sock.fileno(), file_fd, offset + sent, rest) if rest else 0
        if now:
            sent += now
            raise BlockingIOError
        return sent

    try:
        room.register(sock, select.EPOLLOUT)
        try:
            return send_some()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            # It may be the file: /proc's, say, or a pipe.
            raise SendfileNotAvailableError("os.sendfile call failed") from None
        attempt = loop._attempt(room, False, send_some)
        try:
            total: int = await attempt.future
        except OSError as exc:
            leave_position(file_fd, offset, sent)
            if not sent:
                raise SendfileNotAvailableError("os.sendfile call failed") from None
            if exc.errno == errno.ENOTCONN:
                raise ConnectionError("socket is not connected", exc.errno) from exc
            raise
        finally:
            attempt.end()
        leave_position(file_fd, offset, sent)
        return total
    finally:
        room.close()


def leave_position(file_fd: int, offset: int, sent: int) -> None:
    if sent:
        os.lseek(file_fd, offset + sent, os.SEEK_SET)

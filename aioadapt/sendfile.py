"""sendfile(2) on a transport's socket, which the transport itself also watches.

asyncio waits for room in the socket with ``add_writer``, which identifies the socket
by its descriptor.  If the transport is closed meanwhile, the descriptor can be reused
for another file, and the loop would wait for that one.

So room is waited for with an epoll instance that contains only this socket.  It is
readable when the socket has room, and a descriptor that is closed leaves it
automatically.  Errors, their messages and the file's position afterwards are the same
as asyncio's.  So is the amount sent per iteration: as much as the socket takes in one
call.
"""

import errno
import io
import os
import select
import socket
from asyncio import SendfileNotAvailableError
from typing import Any

from .sock_calls import SockCalls


async def send_file(
    loop: SockCalls, sock: socket.socket, file: Any, offset: int, count: int | None
) -> int:
    """Send *file* from *offset* on: *count* bytes, or all of the rest.

    Returns:
        How many bytes were sent.

    Raises:
        SendfileNotAvailableError: sendfile(2) cannot send this file; nothing was sent.
        OSError: the error that ended the connection.
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
            f"cannot create an epoll instance to wait for room: {exc.strerror}"
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
            # The file may be the reason, such as one in /proc, or a pipe.
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

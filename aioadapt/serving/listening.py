"""The listening sockets: bound once, and shared by all servers that accept.

Each server on each loop listens through its own duplicate, since servers close
their sockets when they stop.  The file of a Unix socket is removed at the end by
the process that created it, if it is still the same file.
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aioadapt import ServeError

from .options import Options


class Listening:
    """Listening sockets; :meth:`close` closes them and removes a Unix socket's file."""

    def __init__(
        self, sockets: Sequence[socket.socket], path: Path | None = None
    ) -> None:
        self.sockets = list(sockets)
        for sock in self.sockets:
            # Duplicates share the blocking mode, and socket.dup() sets it again to
            # what the original object has.  So it must be non-blocking here: else
            # the socket of a running server would block when another one starts.
            sock.setblocking(False)
        self._path = path
        self._identity = _identity(path) if path is not None else None

    @property
    def addresses(self) -> list[Any]:
        """As ``socket.getsockname()`` gives them."""
        return [sock.getsockname() for sock in self.sockets]

    def urls(self, *, tls: bool) -> list[str]:
        return [_url(sock, tls=tls) for sock in self.sockets]

    def duplicates(self) -> list[socket.socket]:
        """One of each socket, or OSError and none."""
        return _duplicates(self.sockets)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        path, self._path = self._path, None
        if path is not None and _identity(path) == self._identity:
            with contextlib.suppress(OSError):
                path.unlink()


def listen(
    options: Options, sock: socket.socket | Sequence[socket.socket] | None = None
) -> Listening:
    """Bind and listen on the address in *options*, or listen on the bound *sock*.

    Raises:
        ServeError: the address cannot be used; the message says why.
    """
    if sock is not None:
        given = [sock] if isinstance(sock, socket.socket) else list(sock)
        for each in given:
            if each.type != socket.SOCK_STREAM:
                raise ServeError(f"{each!r} is not a stream socket")
            each.listen(options.backlog)
        return Listening(_duplicates(given))
    if options.uds is not None:
        return _listen_unix(Path(options.uds), options.backlog)
    return _listen_tcp(options.host, options.port, options.backlog)


def _listen_tcp(host: str, port: int, backlog: int) -> Listening:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ServeError(f"cannot resolve host {host!r}: {_words(error)}") from error
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            if port == 0 and sockets:
                # The other addresses use the port that the first one got.
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError:
                continue  # The kernel does not support this address family.
            undo.callback(sock.close)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    # Else it would take the IPv4 port too, which has its own socket.
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind(address)
                sock.listen(backlog)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                    continue  # localhost may resolve to ::1 although IPv6 is off.
                raise ServeError(_why_not(error, host, int(address[1]))) from error
            sockets.append(sock)
        if not sockets:
            raise ServeError(f"cannot listen on any address of {host!r}")
        undo.pop_all()
    return Listening(sockets)


def _why_not(error: OSError, host: str, port: int) -> str:
    where = f"cannot listen on {_host_and_port(host, port)}"
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"{where}: address already in use; stop the other server or choose "
                f"another port"
            )
        case errno.EACCES | errno.EPERM:
            return f"{where}: permission denied (ports below 1024 need privileges)"
        case errno.EADDRNOTAVAIL:
            return f"{where}: this machine does not have that address"
        case _:
            return f"{where}: {_words(error)}"


def _listen_unix(path: Path, backlog: int) -> Listening:
    # As in uvicorn: everybody may connect, unless an earlier socket at this path had
    # other permissions.
    mode = 0o666
    try:
        before = path.lstat()
        if not stat.S_ISSOCK(before.st_mode):
            raise ServeError(f"cannot listen on {path}: it exists and is not a socket")
        if _is_listened_to(path):
            raise ServeError(
                f"cannot listen on {path}: another server is listening there"
            )
        mode = stat.S_IMODE(before.st_mode)
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ServeError(f"cannot listen on {path}: {error.strerror}") from error
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise ServeError(f"cannot listen on {path}: {_words(error)}") from error
    return Listening([sock], path.absolute())


def _duplicates(sockets: Sequence[socket.socket]) -> list[socket.socket]:
    with contextlib.ExitStack() as undo:
        duplicates = [undo.enter_context(sock.dup()) for sock in sockets]
        undo.pop_all()
    return duplicates


def _is_listened_to(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # The backlog is full, or we may not connect to it.
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _url(sock: socket.socket, *, tls: bool) -> str:
    scheme = "https" if tls else "http"
    if sock.family == socket.AF_UNIX:
        return f"{scheme}+unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"{scheme}://{_host_and_port(host, port)}"


def _host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

"""The listening sockets: bound once, and shared by all that accept from them.

Each server on each loop listens through a duplicate of its own, since servers
close their sockets when they stop.  The name of a Unix socket is removed at
the end by whoever made it, if it is still the same file.
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
    """Sockets that are being listened on; :meth:`close` gives all of it back."""

    def __init__(
        self, sockets: Sequence[socket.socket], path: Path | None = None
    ) -> None:
        self.sockets = list(sockets)
        for sock in self.sockets:
            # Its duplicates share this mode, and dup() sets it anew to the one
            # that the original object knows: a server that accepts already must
            # not find its socket blocking while another one starts.
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
        return [sock.dup() for sock in self.sockets]

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
    """Bind and listen on what the options name, or take what is bound already.

    Raises:
        ServeError: the address cannot be had, and why.
    """
    if sock is not None:
        given = [sock] if isinstance(sock, socket.socket) else list(sock)
        for each in given:
            if each.type != socket.SOCK_STREAM:
                raise ServeError(f"{each!r} is no stream socket")
            each.listen(options.backlog)
        return Listening([each.dup() for each in given])
    if options.uds is not None:
        return _listen_unix(Path(options.uds), options.backlog)
    return _listen_tcp(options.host, options.port, options.backlog)


def _listen_tcp(host: str, port: int, backlog: int) -> Listening:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ServeError(f"host {host!r} is not known here: {_words(error)}") from error
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            if port == 0 and sockets:
                # Whichever port the first address got, the others get too.
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError:
                continue  # A family that this kernel does not have.
            undo.callback(sock.close)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    # Else it takes the IPv4 port too, which has its own socket.
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind(address)
                sock.listen(backlog)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                    continue  # localhost may have ::1 where IPv6 is off.
                raise ServeError(_why_not(error, host, int(address[1]))) from error
            sockets.append(sock)
        if not sockets:
            raise ServeError(f"no address of {host!r} can be listened on here")
        undo.pop_all()
    return Listening(sockets)


def _why_not(error: OSError, host: str, port: int) -> str:
    where = f"cannot listen on {_host_and_port(host, port)}"
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"{where}: another server listens there; stop it or take another port"
            )
        case errno.EACCES | errno.EPERM:
            return f"{where}: no permission (ports below 1024 are the administrator's)"
        case errno.EADDRNOTAVAIL:
            return f"{where}: that is no address of this machine"
        case _:
            return f"{where}: {_words(error)}"


def _listen_unix(path: Path, backlog: int) -> Listening:
    # As uvicorn has it: everybody may connect, unless a socket that was there
    # before had other permissions.
    mode = 0o666
    try:
        before = path.lstat()
        if not stat.S_ISSOCK(before.st_mode):
            raise ServeError(f"cannot listen on {path}: it is there and no socket")
        if _is_listened_to(path):
            raise ServeError(f"cannot listen on {path}: another server listens there")
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


def _is_listened_to(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # Its backlog is full, or it is not ours to use.
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

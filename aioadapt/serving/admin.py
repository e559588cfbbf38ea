"""Admin: the read-only address at which a running server shows its state.

    GET /state      what the server is doing, as JSON (see serving/state.py), with
                    the last 32 decisions and switches, or N with /state?last=N
    GET /metrics    the same for Prometheus
    GET /healthz    "ok" while the control loop runs

Connections to it are few and short, see serving/admin_server.py, so they cannot take
the descriptors that the application needs.

It runs on the control loop, not on one of the serving loops: a scrape costs their
connections only interpreter time.  It never keeps the server from running: if an
admin address cannot be used, that is a warning on the logger ``aioadapt``.
"""

import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from . import admin_socket
from .admin_socket import AdminError
from .reserve import Reserve
from .state import KEPT_IN_JSON, ServerState, to_json

if TYPE_CHECKING:
    from .admin_server import AdminServer

OFF: Final = "off"

# Descriptors: one to accept a connection, and one for what answering it needs.
RESERVED = 2

_log = logging.getLogger("aioadapt")

_Message = dict[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class Admin:
    """The admin address of one server.

    Args:
        state: returns the server's state; called for each request, on the loop
            that :meth:`start` was awaited on.
        path: path of the Unix socket; None for the default path, where ``aioadapt
            top`` and ``why`` look; ``"off"`` for none.
        tcp: host and port to listen on as well, readable by anyone who can
            connect; None for none.
    """

    def __init__(
        self,
        state: Callable[[], ServerState],
        *,
        path: str | None = None,
        tcp: tuple[str, int] | None = None,
    ) -> None:
        self._reserve = Reserve(RESERVED)
        self._app = AdminApp(state, self._reserve)
        self._wanted_path = path
        self._wanted_tcp = tcp
        self._server: AdminServer | None = None
        self._sockets: list[socket.socket] = []
        self._identity: tuple[int, int] | None = None
        self.path: Path | None = None
        """Path of the Unix socket while it is in use, else None."""
        self.tcp: tuple[str, int] | None = None
        """Host and actual port while they are in use, else None."""

    async def start(self) -> None:
        """Start listening.  An address that cannot be used is logged as a warning."""
        if self._wanted_path != OFF:
            self._try("socket", self._bind_unix)
        if self._wanted_tcp is not None:
            self._try("TCP address", self._bind_tcp)
        if not self._sockets:
            return
        try:
            from .admin_server import AdminServer

            self._server = AdminServer(self._app, self._sockets, self._reserve)
            self._server.start()
        except Exception as error:
            _log.warning(
                "Running without the admin address: %s: %s", type(error).__name__, error
            )
            self.close()

    async def stop(self) -> None:
        """Stop listening and remove the socket.  Calling it again does nothing."""
        server = self._server
        try:
            if server is not None:
                await server.stop()
        finally:
            self.close()

    def _try(self, what: str, bind: Callable[[], None]) -> None:
        try:
            bind()
        except (OSError, AdminError) as error:
            _log.warning("Running without the admin %s: %s", what, error)

    def _bind_unix(self) -> None:
        if self._wanted_path is None:
            path = admin_socket.path_of(os.getpid())
            admin_socket.make_folder(path.parent)
            admin_socket.find()  # removes the sockets of dead servers
        else:
            path = Path(self._wanted_path).absolute()
        self._sockets.append(admin_socket.bind(path))
        found = path.lstat()
        self._identity = found.st_dev, found.st_ino
        self.path = path

    def _bind_tcp(self) -> None:
        assert self._wanted_tcp is not None
        host, port = self._wanted_tcp
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family)
        self._sockets.append(sock)
        self.tcp = sock.getsockname()[:2]

    def close(self) -> None:
        """The part of :meth:`stop` that does not wait for connections."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        path, self.path, self.tcp = self.path, None, None
        if path is not None:
            try:
                found = path.lstat()
                # Another server may have replaced it by now.
                if (found.st_dev, found.st_ino) == self._identity:
                    path.unlink()
            except OSError:
                pass  # Already removed, perhaps with its folder.


class AdminApp:
    """The ASGI application behind the address; all of it is read-only."""

    def __init__(self, state: Callable[[], ServerState], reserve: Reserve) -> None:
        self._state = state
        self._reserve = reserve

    async def __call__(
        self, scope: dict[str, Any], receive: _Receive, send: _Send
    ) -> None:
        assert scope["type"] == "http"
        if scope["method"] not in ("GET", "HEAD"):
            status, kind, body = 405, TEXT, b"only GET and HEAD are allowed\n"
        else:
            status, kind, body = self._answer(scope["path"], scope["query_string"])
        headers = [
            (b"content-type", kind),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        if scope["method"] == "HEAD":
            body = b""
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str, query: bytes) -> tuple[int, bytes, bytes]:
        match path:
            case "/state":
                last = parse_qs(query.decode("latin-1")).get(
                    "last", [str(KEPT_IN_JSON)]
                )
                if not last[-1].isdecimal():
                    return 400, TEXT, b"last must be a number of decisions\n"
                state = to_json(self._state(), last=int(last[-1]))
                return 200, JSON, json.dumps(state).encode()
            case "/metrics":
                try:
                    # The first time this opens files.
                    with self._reserve.lent():
                        from .metrics import CONTENT_TYPE, exposition
                except ModuleNotFoundError as error:
                    if error.name != "prometheus_client":
                        raise
                    return 501, TEXT, NO_METRICS
                return 200, CONTENT_TYPE, exposition(self._state())
            case "/healthz":
                return 200, TEXT, b"ok\n"
            case _:
                return 404, TEXT, b"not found; try /state, /metrics or /healthz\n"


TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"
NO_METRICS = (
    b"prometheus-client is not installed in the server's environment; "
    b'run pip install "aioadapt[metrics]" there\n'
)

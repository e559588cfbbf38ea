"""The client of a running server's admin socket."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from . import admin_socket
from .admin_socket import AdminError
from .state import KEPT_IN_JSON

ANSWER_WITHIN_S = 5.0
"""A guess: a response takes a millisecond, under full load some loop iterations."""


class AdminClient:
    """Reads from one server's admin socket, over a new connection for each request.

    Args:
        path: path of the socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, target: str) -> bytes:
        """The body of the response to *target*, such as ``/metrics``.

        Raises:
            AdminError: there is no response, or its status is not 200.
        """
        connection = _UnixConnection(self.path)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(
                f"cannot read {target} from {self.path}: {error or type(error).__name__}"
            ) from error
        finally:
            connection.close()
        if response.status != 200:
            raise AdminError(
                f"{self.path} answered {target} with status {response.status}: "
                f"{body.decode(errors='replace').strip()}"
            )
        return body

    def state(self, last: int = KEPT_IN_JSON) -> dict[str, Any]:
        """The server's state, as :func:`aioadapt.serving.state.to_json` makes it.

        Args:
            last: maximum number of decisions and of switches.

        Raises:
            AdminError: see :meth:`get`.
        """
        state: dict[str, Any] = json.loads(self.get(f"/state?last={last}"))
        return state


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_WITHIN_S)
        self._path = path

    def connect(self) -> None:
        self.sock: socket.socket = admin_socket.connect(self._path, ANSWER_WITHIN_S)


def choose(server: str | None) -> AdminClient:
    """The client for *server*: a pid, the path of a socket, or None for the only one.

    Raises:
        AdminError: no such server runs, or there is more than one to choose from.
    """
    if server is not None and not server.isdigit():
        return AdminClient(Path(server))
    where = " or ".join(map(str, admin_socket.folders()))
    if server is not None:
        path = admin_socket.find_pid(int(server))
        if path is None:
            raise AdminError(f"no running server with pid {server} found in {where}")
        return AdminClient(path)
    found = admin_socket.find()
    if not found:
        raise AdminError(
            f"no running server found in {where}; start one with `aioadapt serve`"
        )
    if len(found) > 1:
        raise AdminError(f"several servers are running; name one: {_listed(found)}")
    return AdminClient(found[0])


def _listed(paths: list[Path]) -> str:
    described = []
    for path in paths:
        try:
            state = AdminClient(path).state()
        except AdminError:
            described.append(f"{path.stem} (does not answer)")
        else:
            addresses = ", ".join(state["addresses"])
            described.append(f"{path.stem} ({state['app']} on {addresses})")
    return "; ".join(described)

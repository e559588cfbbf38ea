"""Asking a running server what it is doing, over its admin socket."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from . import admin_socket
from .admin_socket import AdminError
from .state import KEPT_IN_JSON

ANSWER_WITHIN_S = 5.0
"""A guess: the answer takes a millisecond, and a server under full load the
length of some iterations."""


class AdminClient:
    """Reads from one server's admin socket; one connection for each question.

    Args:
        path: of the socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, target: str) -> bytes:
        """The body that *target*, such as ``/metrics``, has.

        Raises:
            AdminError: nobody answers, or the answer is another status than 200.
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
                f"{self.path} answers {target} with {response.status}: "
                f"{body.decode(errors='replace').strip()}"
            )
        return body

    def state(self, last: int = KEPT_IN_JSON) -> dict[str, Any]:
        """The server's state, as :func:`aioadapt.serving.state.to_json` makes it.

        Args:
            last: so many decisions and switches.

        Raises:
            AdminError: as :meth:`get`.
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
    """The server that *server* names: a pid, the path of a socket, or the only one.

    Raises:
        AdminError: there is none, or more than one to choose from.
    """
    if server is not None and not server.isdigit():
        return AdminClient(Path(server))
    where = " or ".join(map(str, admin_socket.folders()))
    if server is not None:
        path = admin_socket.find_pid(int(server))
        if path is None:
            raise AdminError(f"no running server {server} found in {where}")
        return AdminClient(path)
    found = admin_socket.find()
    if not found:
        raise AdminError(
            f"no running server found in {where}; start one with `aioadapt serve`"
        )
    if len(found) > 1:
        raise AdminError(f"several servers run here; name one: {_listed(found)}")
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

"""A blocking, checking HTTP/1 client, over TCP, TLS or a Unix socket."""

import http.client
import socket
import ssl
from collections.abc import Iterable
from typing import Any, Self

WITHIN_S = 40.0
"""Far more than any answer needs: anything slower has failed."""


class Client(http.client.HTTPConnection):
    """One connection, opened by the first request and kept for the rest.

    Tests that inspect an answer in detail use ``request`` and ``getresponse``.
    """

    def __init__(self, address: Any, *, tls: ssl.SSLContext | None = None) -> None:
        """*address*: a host and a port, or the path of a Unix socket."""
        host, port = ("localhost", None) if isinstance(address, str) else address[:2]
        super().__init__(host, port, timeout=WITHIN_S)
        self._address = address
        self._tls = tls
        self._was_opened = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> None:
        assert not self._was_opened, "the server has closed the connection"
        if isinstance(self._address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(WITHIN_S)
            self.sock.connect(self._address)
        else:
            super().connect()
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname="localhost")
        self._was_opened = True

    def ask(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None
    ) -> bytes:
        """The answer's body; checks that it is a 200 and keeps the connection open."""
        self.request(method, path, body)
        response = self.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        assert self.sock is not None, "the server closes the connection"
        return answer

    def get(self, path: str = "/") -> str:
        return self.ask("GET", path).decode()

    def post(self, path: str, body: bytes | Iterable[bytes]) -> bytes:
        return self.ask("POST", path, body)

"""A host server: the web server that serves an application on one loop.

It runs on that loop's thread from start to stop, and so does the instance of the
application's life cycle that it drives.
"""

import socket
import ssl
from collections.abc import Sequence
from typing import Protocol

from .application import Application, is_aiohttp
from .options import Options


class HostServer(Protocol):
    """Both methods are awaited on the host server's own loop."""

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Run the application's startup, then accept on *sockets*, taking ownership.

        Raises:
            ServeError: the application's startup failed.
        """

    async def stop(self) -> None:
        """Stop accepting, finish requests, close idle connections, end the application.

        Requests that are not finished after ``graceful_s`` seconds are cancelled.
        """


async def make_host_server(
    application: Application, options: Options, tls: ssl.SSLContext | None
) -> HostServer:
    """The host server that fits the application; await it on the loop that will serve.

    Raises:
        ServeError: the application's factory failed, or did not return an
            application.
    """
    app = await application.make()
    if is_aiohttp(app):
        from .aiohttp_server import AiohttpServer

        return AiohttpServer(app, options, tls)
    from .uvicorn_server import UvicornServer

    return UvicornServer(app, options, tls)

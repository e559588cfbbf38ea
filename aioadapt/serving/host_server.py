"""A host server: the web server that serves an application on one loop.

It lives on that loop's thread from start to stop, and so does the copy of the
application's life cycle that it runs.
"""

import socket
import ssl
from collections.abc import Sequence
from typing import Protocol

from aioadapt import ServeError

from .application import Application, is_aiohttp
from .foreign import EXPLANATION, is_complaint
from .options import Options


class HostServer(Protocol):
    """Both methods are awaited on the host server's own loop."""

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Run the application's start-up, then accept on *sockets*, which become its own.

        Raises:
            ServeError: the application's start-up failed.
        """

    async def stop(self) -> None:
        """Accept no more, finish requests, close idle connections, end the application.

        What is unfinished after ``graceful_s`` seconds is cancelled.
        """


async def make_host_server(
    application: Application, options: Options, tls: ssl.SSLContext | None
) -> HostServer:
    """The host server that fits the application; to be awaited on the host server's loop.

    Raises:
        ServeError: the application cannot be had, or is none.
    """
    app = await application.make()
    if is_aiohttp(app):
        from .aiohttp_server import AiohttpServer

        return AiohttpServer(app, options, tls)
    from .uvicorn_server import UvicornServer

    return UvicornServer(app, options, tls)


def start_up_failed(said: str, error: BaseException | None) -> ServeError:
    """What a host server raises where the application's own start-up has failed."""
    if is_complaint(error or said):
        said = EXPLANATION.format(error=said)
    return ServeError(f"the application's start-up failed: {said}")

"""The host server for aiohttp applications: aiohttp's own, unchanged."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence

from aiohttp import web
from aiohttp.log import access_logger, server_logger

from .application import in_one_line
from .foreign import NamesTheCause, start_up_failed
from .options import Options

_log = logging.getLogger("aioadapt")


class AiohttpServer:
    """One ``web.AppRunner``; see :class:`aioadapt.serving.host_server.HostServer`."""

    def __init__(
        self, app: web.Application, options: Options, tls: ssl.SSLContext | None
    ) -> None:
        self._tls = tls
        self._graceful_s = options.graceful_s
        self._backlog = options.backlog
        self._names_the_cause = NamesTheCause()
        self._runner = web.AppRunner(
            app,
            access_log=access_logger if options.access_log else None,
            keepalive_timeout=options.keep_alive_s,
            shutdown_timeout=options.graceful_s,
        )

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """See :meth:`HostServer.start`."""
        server_logger.addFilter(self._names_the_cause)
        try:
            await self._runner.setup()
        except Exception as error:
            server_logger.removeFilter(self._names_the_cause)
            raise start_up_failed(in_one_line(error), error) from error
        for sock in sockets:
            site = web.SockSite(
                self._runner, sock, ssl_context=self._tls, backlog=self._backlog
            )
            await site.start()

    async def stop(self) -> None:
        """See :meth:`HostServer.stop`."""
        try:
            async with asyncio.timeout(2 * self._graceful_s + 1):
                await self._runner.cleanup()
        except TimeoutError:
            _log.error(
                "Application shutdown did not finish within %g s", self._graceful_s
            )
        finally:
            server_logger.removeFilter(self._names_the_cause)

"""The host server for ASGI applications: uvicorn, unchanged.

Instead of its ``serve()`` this uses the parts of it: a start that returns once the
server accepts, or fails with a reason, and a stop that can be awaited.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import uvicorn

from .application import in_one_line
from .foreign import AsgiApp, Message, Receive, Send, names_the_cause, start_up_failed
from .options import Options

_log = logging.getLogger("aioadapt")

# For the Date header and uvicorn's own housekeeping.
TICK_S = 1.0

# Iterations until aborted transports have called connection_lost.
ITERATIONS_TO_CLOSE = 3


class UvicornServer:
    """One ``uvicorn.Server``; see :class:`aioadapt.serving.host_server.HostServer`."""

    def __init__(self, app: Any, options: Options, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._graceful_s = options.graceful_s
        settings: dict[str, Any] = {
            "lifespan": "auto",
            "access_log": options.access_log,
            # Handlers belong to the process; only the level is set here.
            "log_config": None,
            "log_level": options.log_level,
            "backlog": options.backlog,
            "timeout_keep_alive": options.keep_alive_s,
            "timeout_graceful_shutdown": options.graceful_s,
        }
        settings.update(options.uvicorn_settings)
        # "none": uvicorn runs on the thread's loop and creates none.
        self._config = uvicorn.Config(app, **{**settings, "loop": "none"})
        self._server = uvicorn.Server(self._config)
        self._sockets: list[socket.socket] = []
        self._ticking: asyncio.Task[None] | None = None
        self._start_up = _StartUp()

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """See :meth:`HostServer.start`."""
        self._sockets = list(sockets)
        config, server = self._config, self._server
        config.load()
        app = config.loaded_app
        # Outermost, so that it sees what passes through every middleware.
        config.loaded_app = names_the_cause(app, self._start_up.watched(app))
        config.ssl = self._tls
        server.lifespan = config.lifespan_class(config)
        try:
            await server.startup(sockets=self._sockets)
        except SystemExit:
            # uvicorn exits if the application's startup failed.
            raise start_up_failed(
                self._start_up.said, self._start_up.error
            ) from self._start_up.error
        await server.on_tick(0)
        self._ticking = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """See :meth:`HostServer.stop`."""
        if self._ticking is not None:
            self._ticking.cancel()
        server = self._server
        try:
            # uvicorn itself gives requests graceful_s; as much again is for the
            # application's shutdown.
            async with asyncio.timeout(2 * self._graceful_s + 1):
                await server.shutdown(sockets=self._sockets)
        except TimeoutError:
            _log.error(
                "Application shutdown did not finish within %g s", self._graceful_s
            )
        for connection in list(server.server_state.connections):
            transport: Any = connection.transport
            if transport is not None:
                transport.abort()
        for _ in range(ITERATIONS_TO_CLOSE):
            await asyncio.sleep(0)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._server.on_tick(0)


class _StartUp:
    """Watches the application's startup, so that a failure can be reported.

    uvicorn assumes that an application that raises does not support the lifespan
    protocol.  But if it has received the startup event, it does support it, and an
    exception is a failure.
    """

    def __init__(self) -> None:
        self.said = "no reason was given"
        self.error: BaseException | None = None

    def watched(self, app: AsgiApp) -> AsgiApp:
        async def live(scope: Any, receive: Any, send: Any) -> None:
            await self._live(app, scope, receive, send)

        return live

    async def _live(
        self, app: AsgiApp, scope: Message, receive: Receive, send: Send
    ) -> None:
        asked = answered = False

        async def receive_and_note() -> Message:
            nonlocal asked
            asked = True
            return await receive()

        async def send_and_note(message: Message) -> None:
            nonlocal answered
            answered = True
            if message["type"] == "lifespan.startup.failed":
                # Frameworks send a whole traceback; its last line is the error.
                lines = str(message.get("message", "")).strip().splitlines()
                self.said = lines[-1].strip() if lines else self.said
            await send(message)

        try:
            await app(scope, receive_and_note, send_and_note)
        except Exception as error:
            if not asked or answered:
                raise
            self.said, self.error = in_one_line(error), error
            await send({"type": "lifespan.startup.failed", "message": ""})

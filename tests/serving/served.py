"""Applications and clients for the tests of the adaptive server."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from http_client import Client

from aioadapt import AdaptiveServer

# No test should take this long: anything slower has failed.
WITHIN_S = 20.0


class App:
    """Answers with the engine it runs on; records its lifespan on each loop."""

    def __init__(self) -> None:
        self.life: list[tuple[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        await self.before_answering(scope)
        body = engine_here().encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def before_answering(self, scope: Any) -> None:
        pass

    async def _live(self, receive: Any, send: Any) -> None:
        while True:
            kind: str = (await receive())["type"]
            self.life.append((engine_here(), kind.removeprefix("lifespan.")))
            await self.on_life(kind)
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    async def on_life(self, kind: str) -> None:
        pass


def engine_here() -> str:
    assert threading.current_thread() is not threading.main_thread()
    engine: str = getattr(asyncio.get_running_loop(), "engine", "asyncio")
    return engine


def client_of(server: AdaptiveServer, tls: ssl.SSLContext | None = None) -> Client:
    """A blocking client: use it in a thread."""
    return Client(server.addresses[0], tls=tls)


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[AdaptiveServer]:
    """A server on its own port; it stays on its engine unless it is switched."""
    settings: dict[str, Any] = {
        "port": 0,
        "adapt": False,
        "graceful_s": 5.0,
        "log_level": "warning",
    }
    async with AdaptiveServer(app, **settings | options) as server:
        yield server


async def ask(server: AdaptiveServer) -> str:
    """Send one request on a new connection."""

    def once() -> str:
        with client_of(server) as client:
            return client.get()

    return await asyncio.to_thread(once)

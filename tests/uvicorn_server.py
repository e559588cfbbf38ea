"""uvicorn in this process, on the running loop, for tests of frameworks and clients."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import uvicorn


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@asynccontextmanager
async def served(
    app: Any, *, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Address]:
    """Yields the address of *app*, whose lifespan has started."""
    config = uvicorn.Config(
        app, lifespan="on", log_config=None, ws="websockets-sansio", **options
    )
    config.load()
    config.ssl = tls
    server = uvicorn.Server(config)
    # The test process keeps its own signal handlers.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    # asyncio sets TCP_NODELAY only on sockets created with this protocol.
    with socket.socket(proto=socket.IPPROTO_TCP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        serving = asyncio.ensure_future(server.serve([sock]))
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0)
        try:
            yield Address(*sock.getsockname())
        finally:
            server.should_exit = True
            await serving

"""uvicorn in this process, on the running loop, for frameworks and clients to meet at."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


@asynccontextmanager
async def served(app: Any, *, ssl: Any = None, **options: Any) -> AsyncIterator[str]:
    """The address, ``host:port``, of *app*, whose lifespan has begun."""
    config = uvicorn.Config(
        app, lifespan="on", log_config=None, ws="websockets-sansio", **options
    )
    config.load()
    config.ssl = ssl
    server = uvicorn.Server(config)
    # The test process keeps its own handling of signals.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        serving = asyncio.ensure_future(server.serve([sock]))
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0)
        try:
            host, port = sock.getsockname()
            yield f"{host}:{port}"
        finally:
            server.should_exit = True
            await serving

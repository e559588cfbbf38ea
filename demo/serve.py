"""The demo's servers: one ``uvicorn.Server`` per loop, on a shared listening socket."""

import asyncio
import concurrent.futures
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

import aioadapt

from .app import EchoApp

# Connections may arrive before either server first accepts.
BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two loops that connections move between."""

    name: str  # as in responses: the engine, and a number if both are the same
    thread: aioadapt.LoopThread


class _Server(uvicorn.Server):
    """uvicorn's server, which also reports when it has started to accept."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting: concurrent.futures.Future[None] = concurrent.futures.Future()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set_result(None)


@asynccontextmanager
async def serving(sides: Sequence[Side]) -> AsyncIterator[tuple[str, int]]:
    """Serve on every side's loop; yields the address that all of them accept on."""
    servers: list[_Server] = []
    ends: list[asyncio.Future[None]] = []
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        try:
            for side in sides:
                server = _Server(configure(EchoApp(side.name, side.thread.loop)))
                servers.append(server)
                # Each gets a duplicate, because a server closes its listener on exit.
                end = asyncio.wrap_future(
                    side.thread.submit(server.serve(sockets=[listener.dup()]))
                )
                ends.append(end)
                accepting = asyncio.wrap_future(server.accepting)
                await asyncio.wait(
                    {end, accepting}, return_when=asyncio.FIRST_COMPLETED
                )
                if end.done():
                    end.result()
                    raise RuntimeError(
                        f"uvicorn on the {side.name} loop exited before it served"
                    )
            yield listener.getsockname()
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*ends)


# Settings passed to uvicorn.
SERVER_SETTINGS: dict[str, Any] = {
    "http": "httptools",
    "ws": "none",
    "lifespan": "off",
    # Responses are compared byte for byte, so they must not vary.
    "date_header": False,
    "server_header": False,
    "proxy_headers": False,
    "timeout_keep_alive": 60,  # longer than any client thinks
}


def configure(app: EchoApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",  # it runs on the thread's loop and creates none
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=5,
        **SERVER_SETTINGS,
    )

"""The demo's servers: a ``uvicorn.Server`` per loop, over one listening socket."""

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

# One core's worth of connections may arrive before either server first accepts.
BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two loops that connections move between."""

    name: str  # what answers carry: the engine, and a number where both are the same
    thread: aioadapt.LoopThread


class _Server(uvicorn.Server):
    """uvicorn's own, which also says when it has begun to accept."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting: concurrent.futures.Future[None] = concurrent.futures.Future()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set_result(None)


@asynccontextmanager
async def serving(sides: Sequence[Side]) -> AsyncIterator[tuple[str, int]]:
    """Serve on every side's loop; gives the address that all of them accept on."""
    servers: list[_Server] = []
    ends: list[asyncio.Future[None]] = []
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        try:
            for side in sides:
                server = _Server(configure(EchoApp(side.name, side.thread.loop)))
                servers.append(server)
                # A duplicate each: a server closes its listening socket when it stops.
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
                        f"uvicorn on the {side.name} loop ended before it served"
                    )
            yield listener.getsockname()
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*ends)


# uvicorn's own settings.
SERVER_SETTINGS: dict[str, Any] = {
    "http": "httptools",
    "ws": "none",
    "lifespan": "off",
    # Answers are compared byte for byte, so they carry nothing that varies.
    "date_header": False,
    "server_header": False,
    "proxy_headers": False,
    "timeout_keep_alive": 60,  # longer than any client thinks
}


def configure(app: EchoApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",  # it runs on the thread's loop, and makes none
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=5,
        **SERVER_SETTINGS,
    )

"""What is counted: one row on one loop, in a process of its own, under valgrind.

``python server.py ROW ENGINE``.  It prints two ports: on the first it serves, and every
byte on the second is an order: ``r`` runs the row's operations, if it does not serve;
``q`` ends.  There is one thread, since valgrind takes io_uring_enter for a call that
never blocks, and lets no other thread run meanwhile.
"""

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import Any

import aioadapt

OPERATIONS = 2000
"""Of the rows without a client."""


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def echo() -> int:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    return port_of(server)


async def uvicorn() -> int:
    from uvicorn import Config, Server

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})

    config = Config(
        app, port=0, http="httptools", ws="none", lifespan="off", log_config=None,
        log_level="critical", access_log=False, date_header=False,
        timeout_keep_alive=3600,
    )  # fmt: skip
    config.load()
    server = Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    return port_of(server.servers[0])


async def aiohttp() -> int:
    from aiohttp import web

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: int = runner.addresses[0][1]
    return port


def port_of(server: Any) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def call_soon(loop: asyncio.AbstractEventLoop) -> None:
    """A chain: each call schedules the next."""

    def call(left: int) -> None:
        if left:
            loop.call_soon(call, left - 1)

    call(OPERATIONS)


def timer(loop: asyncio.AbstractEventLoop) -> None:
    """A chain of timers, each due at once, beside one that is cancelled."""

    def fire(left: int) -> None:
        loop.call_later(60, fire, 0).cancel()
        if left:
            loop.call_later(0, fire, left - 1)

    fire(OPERATIONS)


SERVED: dict[str, Any] = {
    "echo": echo,
    "churn": echo,  # the client opens a connection for each request
    "uvicorn": uvicorn,
    "aiohttp": aiohttp,
}
RUN: dict[str, Callable[[asyncio.AbstractEventLoop], None]] = {
    "call_soon": call_soon,
    "timer": timer,
}


class Orders(asyncio.Protocol):
    def __init__(self, row: str) -> None:
        self.row = row

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if b"r" in data:
            RUN[self.row](loop)
        if b"q" in data:
            loop.stop()


def main(row: str, engine: str) -> None:
    loop: Any = aioadapt.new_event_loop(engine)
    if engine == "adaptive":
        # Its controller looks four times a second, for 45 us: 0.02 % of a core.  Under
        # valgrind a second brings a fiftieth of the operations.
        loop._look_every(None)
    port = loop.run_until_complete(SERVED[row]()) if row in SERVED else 0
    orders = loop.run_until_complete(
        loop.create_server(lambda: Orders(row), "127.0.0.1", 0)
    )
    # A collection falls anywhere and costs what the heap happens to hold.
    gc.collect()
    gc.disable()
    print(port, port_of(orders), flush=True)
    loop.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

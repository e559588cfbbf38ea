"""An aiohttp application, created once per loop.

An adaptive server has two loops, one per engine, and an aiohttp application belongs to
the loop that first ran it.  So pass the function that creates it:

    cd examples
    aioadapt serve aiohttp_app:make_app --factory --port 8000
    curl http://127.0.0.1:8000/

``cleanup_ctx`` runs on each loop.  What it creates, here a task that belongs to its
loop, is kept in the application, and there is one application for each loop.
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

CLOCK = web.AppKey("clock", list[int])


async def clock(app: web.Application) -> AsyncIterator[None]:
    ticks = app[CLOCK] = [0]

    async def tick() -> None:
        while True:
            ticks[0] += 1
            await asyncio.sleep(0.1)

    task = asyncio.create_task(tick())
    yield
    task.cancel()
    await asyncio.wait([task])


async def index(request: web.Request) -> web.Response:
    loop = type(asyncio.get_running_loop()).__name__
    ticks = request.app[CLOCK][0]
    return web.Response(text=f"{loop}, after {ticks} ticks of its own clock\n")


def make_app() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(clock)
    app.router.add_get("/", index)
    return app

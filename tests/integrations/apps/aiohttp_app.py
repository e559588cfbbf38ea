"""An aiohttp application that reports its loop and prints its start-up and shutdown."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from aiohttp import web

STARTED_ON = web.AppKey("STARTED_ON", int)


async def life(app: web.Application) -> AsyncIterator[None]:
    app[STARTED_ON] = id(asyncio.get_running_loop())
    yield
    sys.stderr.write("the application has shut down\n")


async def facts(request: web.Request) -> web.Response:
    loop = asyncio.get_running_loop()
    return web.json_response(
        {
            "loop": type(loop).__name__,
            "module": type(loop).__module__,
            "started": request.app[STARTED_ON] == id(loop),
            "pid": os.getpid(),
        }
    )


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def converse(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_bytes(message.data)
    return socket


app = web.Application()
app.cleanup_ctx.append(life)
app.router.add_get("/", facts)
app.router.add_post("/echo", echo)
app.router.add_get("/ws", converse)

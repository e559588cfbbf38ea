"""An ASGI application that reports its loop and prints its start-up and shutdown."""

import asyncio
import fcntl
import json
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _live(scope, receive, send)
    elif scope["type"] == "websocket":
        await _converse(receive, send)
    elif scope["path"] == "/echo":
        await _respond(send, await _body(receive))
    else:
        await _respond(send, _facts(scope))


async def held_app(scope: Message, receive: Receive, send: Send) -> None:
    """The same, but it does not end until the test unlocks a file in its folder."""

    async def send_when_released(message: Message) -> None:
        if message["type"] == "lifespan.shutdown.complete":
            with open("held") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
        await send(message)

    await app(scope, receive, send_when_released)


async def _live(scope: Message, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    loop = asyncio.get_running_loop()
    scope["state"]["started_on"] = id(loop)
    sys.stderr.write(f"process {os.getpid()} has started on {type(loop).__name__}\n")
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    sys.stderr.write("the application has shut down\n")
    await send({"type": "lifespan.shutdown.complete"})


def _facts(scope: Message) -> bytes:
    loop = asyncio.get_running_loop()
    started_on = scope.get("state", {}).get("started_on")
    facts = {
        "loop": type(loop).__name__,
        "module": type(loop).__module__,
        "started": started_on == id(loop),
        "pid": os.getpid(),
    }
    return json.dumps(facts).encode()


async def _converse(receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"]})


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _respond(send: Send, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

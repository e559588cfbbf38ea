"""A small ASGI application that shows whether bytes arrive whole."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class App:
    """Answers by path; records its lifespan events and disconnects."""

    def __init__(self) -> None:
        self.life: list[str] = []
        self.left = 0
        self.somebody_left = asyncio.Event()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            assert scope["type"] == "http"
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            self.life.append(message["type"])
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/digest":
            await _respond(send, await _digest(receive))
        elif path == "/echo":
            await _respond(send, await _body(receive))
        elif path.startswith("/bytes/"):
            await _respond(send, bytes(int(path.removeprefix("/bytes/"))))
        elif path.startswith("/stream/"):
            await _stream(send, int(path.removeprefix("/stream/")))
        elif path == "/wait":
            await self._until_the_client_leaves(receive, send)
        elif path == "/fail":
            raise RuntimeError("asked to fail")
        else:
            await _respond(send, f"{scope['method']} {path}".encode())

    async def _until_the_client_leaves(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left += 1
        self.somebody_left.set()


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _digest(receive: Receive) -> bytes:
    return hashlib.sha256(await _body(receive)).hexdigest().encode()


async def _respond(send: Send, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send, count: int) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(count):
        body = b"%d;" % number
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


app = App()

"""The demo's application: plain ASGI, without any knowledge of aioadapt.

It echoes the body of a request and names the engine whose loop ran it.  There is
one instance per loop.  An instance refuses to serve on any other loop, so the
``x-engine`` of a response is the engine that did serve it, not the one that should
have.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .wire import halves

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class EchoApp:
    def __init__(self, engine: str, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine.encode("ascii")
        self._loop = loop

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                f"the application of the {self._engine.decode()} loop ran elsewhere"
            )
        _, connection, sequence = scope["raw_path"].split(b"/")

        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has disconnected
            body += message["body"]
            more = message["more_body"]

        headers = [
            (b"x-engine", self._engine),
            (b"x-connection", connection),
            (b"x-sequence", sequence),
        ]
        if (b"transfer-encoding", b"chunked") in scope["headers"]:
            await send(_start([*headers, (b"transfer-encoding", b"chunked")]))
            first, second = halves(body)
            await send({"type": "http.response.body", "body": first, "more_body": True})
            # A streaming response has iterations in which none of it is sent.
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": second})
        else:
            await send(_start([*headers, (b"content-length", b"%d" % len(body))]))
            await send({"type": "http.response.body", "body": body})


def _start(headers: list[tuple[bytes, bytes]]) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": headers}

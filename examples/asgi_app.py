"""An ASGI application with state that is created once per loop.

An adaptive server runs the application on two loops, one per engine, and its lifespan
once on each.  Create what belongs to a loop in the lifespan and keep it in
``scope["state"]``: each request then finds the state of the loop that serves it.

    cd examples
    aioadapt serve asgi_app:app --port 8000
    curl http://127.0.0.1:8000/

Frameworks offer the same.  With Starlette or FastAPI, ``yield {"desk": desk}`` in the
lifespan and use ``request.state.desk``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Desk:
    """A stand-in for a connection pool: a queue, and a task that empties it.

    Both belong to the loop that they are created on.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.served = 0
        self._queue: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()
        self._clerk = asyncio.create_task(self._serve())

    async def ask(self) -> int:
        answer: asyncio.Future[int] = self.loop.create_future()
        await self._queue.put(answer)
        return await answer

    async def close(self) -> None:
        self._clerk.cancel()
        await asyncio.wait([self._clerk])

    async def _serve(self) -> None:
        while True:
            answer = await self._queue.get()
            self.served += 1
            answer.set_result(self.served)


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope["state"], receive, send)
    elif scope["type"] == "http":
        desk: Desk = scope["state"]["desk"]
        number = await desk.ask()
        await answer(send, f"request {number} on {type(desk.loop).__name__}\n".encode())


async def lifespan(state: dict[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    desk = state["desk"] = Desk()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await desk.close()
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send: Send, body: bytes) -> None:
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

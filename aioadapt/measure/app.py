"""The ASGI application of all measurements: the request says what to answer.

It costs a few microseconds, so that what is measured is the server.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from .wire import IDENTITY_BYTES, identity, pattern

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_PATTERN = pattern()
_rests: dict[bytes, bytes] = {}  # keyed by the size as the request spells it


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    _, connection, sequence, size = scope["raw_path"].split(b"/")
    rest = _rests.get(size)
    if rest is None:
        rest = _rests.setdefault(size, _PATTERN[IDENTITY_BYTES : int(size)])
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", size),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    body = identity(int(connection), int(sequence)) + rest
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return

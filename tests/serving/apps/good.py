"""Applications for the command's tests, by attribute."""

import asyncio
import os
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/slow":
            # Wait until the client has sent the body.
            while (await receive()).get("more_body"):
                pass
        if scope["path"] == "/for-ever":
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.get_running_loop().create_future()
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


async def live(receive: Any, send: Any) -> None:
    while True:
        kind = (await receive())["type"]
        print(kind, flush=True)
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def make_app() -> Any:
    return app


def make_nothing() -> None:
    return None


def make_trouble() -> Any:
    raise KeyError("DATABASE_URL")


def wsgi(environ: Any, start_response: Any) -> Any:
    return []


async def no_start(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    await receive()
    raise ConnectionRefusedError(111, "no database")


async def polite_no(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    await receive()
    message = "Traceback\n  ...\nValueError: no database"
    await send({"type": "lifespan.startup.failed", "message": message})


settings = {"debug": True}

"""Of two workers the one that starts last cannot start, once the other is busy."""

import asyncio
import os
from pathlib import Path
from typing import Any

import good  # type: ignore[import-not-found]

_folder = Path(os.environ["FOLDER"])


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        try:
            (_folder / "first").touch(exist_ok=False)
        except FileExistsError:
            await receive()
            while not (_folder / "busy").exists():
                await asyncio.sleep(0.01)
            raise ValueError("no database") from None
    await good.app(scope, receive, send)

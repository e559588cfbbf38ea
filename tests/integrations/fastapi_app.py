"""A FastAPI application with FastAPI's typical features, which reports its loop."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, UploadFile, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


class Order(BaseModel):
    name: str
    count: int


def make_app() -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.loop = asyncio.get_running_loop()
        app.state.noted = []
        app.state.given_back = 0
        yield
        app.state.noted.append("ended")

    app = FastAPI(lifespan=lifespan)

    async def resource() -> AsyncIterator[str]:
        yield "a resource"
        app.state.given_back += 1

    @app.post("/orders/{number}")
    async def order(
        number: int,
        order: Order,
        held: Annotated[str, Depends(resource)],
        background: BackgroundTasks,
    ) -> dict[str, Any]:
        background.add_task(app.state.noted.append, number)
        return {"number": number, "order": order, "held": held}

    @app.get("/thread")
    def thread() -> bool:
        return threading.current_thread() is threading.main_thread()

    @app.get("/loop")
    async def own_loop() -> str:
        assert asyncio.get_running_loop() is app.state.loop
        return type(app.state.loop).__name__

    @app.post("/upload")
    async def upload(file: UploadFile) -> int:
        return len(await file.read())

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(1000):
                yield b"%d;" % number

        return StreamingResponse(pieces())

    @app.websocket("/talk")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        async for message in socket.iter_bytes():
            await socket.send_bytes(message)

    return app


app = make_app()

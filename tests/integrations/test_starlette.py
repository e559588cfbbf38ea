"""Starlette's TestClient, unchanged: it creates loops on its own threads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from integrations.proof import running_engine
from loops import LoopFactory
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

BODY = bytes(range(256)) * 4096


def loop_in_words() -> str:
    return type(asyncio.get_running_loop()).__name__


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    app.state.life = ["began on " + loop_in_words()]
    yield {"begun": True}
    await asyncio.sleep(0)
    app.state.life.append("ended on " + loop_in_words())


async def which(request: Request) -> PlainTextResponse:
    return PlainTextResponse(loop_in_words())


async def echo(request: Request) -> StreamingResponse:
    body = await request.body()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


def blocking(request: Request) -> PlainTextResponse:
    return PlainTextResponse("from a worker thread")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(loop_in_words())
    async for text in socket.iter_text():
        await socket.send_text(text)


def make_app() -> Starlette:
    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/which", which),
            Route("/echo", echo, methods=["POST"]),
            Route("/blocking", blocking),
            WebSocketRoute("/talk", talk),
        ],
    )


@pytest.mark.ours_only
@pytest.mark.consumer("Starlette")
def test_the_line_of_the_page_runs_it(
    follow: Callable[..., Any], loop_kind: str
) -> None:
    async def engine(request: Request) -> PlainTextResponse:
        return PlainTextResponse(running_engine())

    app = Starlette(routes=[Route("/", engine)])

    with follow(TestClient=TestClient, app=app) as client:
        assert client.get("/").text == loop_kind


def test_its_application_runs_on_the_loop_it_is_told_to_make(
    loop_factory: LoopFactory,
) -> None:
    app = make_app()
    expected = type_made_by(loop_factory)
    options = {"loop_factory": loop_factory}

    with TestClient(app, backend_options=options) as client:
        assert client.get("/which").text == expected
        assert client.post("/echo", content=BODY).content == BODY
        assert client.get("/blocking").text == "from a worker thread"
        with client.websocket_connect("/talk") as socket:
            assert socket.receive_text() == expected
            for number in range(50):
                socket.send_text(f"message {number}")
                assert socket.receive_text() == f"message {number}"

    assert app.state.life == [f"began on {expected}", f"ended on {expected}"]


def test_without_a_lifespan_each_request_has_a_loop_of_its_own(
    loop_factory: LoopFactory,
) -> None:
    expected = type_made_by(loop_factory)
    made: list[asyncio.AbstractEventLoop] = []

    def factory() -> asyncio.AbstractEventLoop:
        made.append(loop_factory())
        return made[-1]

    with_options = TestClient(make_app(), backend_options={"loop_factory": factory})
    for _ in range(5):
        assert with_options.get("/which").text == expected
    with_options.close()

    assert len(made) == 5
    assert all(loop.is_closed() for loop in made)


def type_made_by(loop_factory: LoopFactory) -> str:
    loop = loop_factory()
    loop.close()
    return type(loop).__name__

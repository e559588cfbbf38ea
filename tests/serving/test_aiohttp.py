"""aiohttp applications: a function makes one for each loop."""

import logging
from asyncio import to_thread
from typing import Any

import pytest
from aiohttp import ClientSession, web
from serving.served import ask, client_of, engine_here, serving

from aioadapt import AdaptiveServer, ForeignLoopError, ServeError


async def answer(request: web.Request) -> web.Response:
    return web.Response(text=engine_here())


def make_app() -> web.Application:
    app = web.Application()
    app.router.add_get("/", answer)
    return app


async def make_app_later() -> web.Application:
    return make_app()


@pytest.mark.parametrize("factory", [False, True])
@pytest.mark.parametrize("make", [make_app, make_app_later])
async def test_what_a_function_makes_is_recognized_and_moves(
    make: Any, factory: bool
) -> None:
    async with serving(make, factory=factory) as server:
        with client_of(server) as client:
            assert await to_thread(client.get) == "epoll"
            for engine in ("uring", "epoll"):
                assert (await server.switch(engine)).moved == 1
                assert await to_thread(client.get) == engine


async def test_the_life_cycle_runs_once_on_each_loop() -> None:
    life = []

    def make() -> web.Application:
        async def start(app: web.Application) -> None:
            life.append((engine_here(), "startup"))

        async def end(app: web.Application) -> None:
            life.append((engine_here(), "cleanup"))

        app = make_app()
        app.on_startup.append(start)
        app.on_cleanup.append(end)
        return app

    async with serving(make) as server:
        await server.switch("uring")
        await server.switch("epoll")
        assert life == [("epoll", "startup"), ("uring", "startup")]

    assert set(life[2:]) == {("epoll", "cleanup"), ("uring", "cleanup")}


def test_an_application_itself_serves_one_loop_only() -> None:
    with pytest.raises(ServeError, match="pass its factory"):
        AdaptiveServer(make_app())


async def test_an_application_itself_is_served_where_the_engine_is_pinned() -> None:
    async with serving(make_app(), start="epoll") as server:
        with client_of(server) as client:
            assert await to_thread(client.get) == "epoll"
            assert "different loop" in (await server.switch("uring")).failed
            assert await to_thread(client.get) == "epoll"


async def test_a_start_up_that_fails_says_what_it_raised() -> None:
    def make() -> web.Application:
        async def start(app: web.Application) -> None:
            raise ValueError("no database")

        app = web.Application()
        app.on_startup.append(start)
        return app

    with pytest.raises(ServeError, match="ValueError: no database"):
        await AdaptiveServer(make, port=0).start()


async def test_a_resource_of_another_loop_is_logged_with_its_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def complain(request: web.Request) -> web.Response:
        raise RuntimeError("Task got Future attached to a different loop")

    def make() -> web.Application:
        app = web.Application()
        app.router.add_get("/", complain)
        return app

    with caplog.at_level(logging.ERROR):
        async with serving(make) as server:
            with pytest.raises(AssertionError, match="Internal Server Error"):
                await ask(server)

    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert len(errors) == 1
    assert isinstance(errors[0], ForeignLoopError)
    assert "--factory" in str(errors[0])
    assert isinstance(errors[0].__cause__, RuntimeError)


async def test_a_websocket_stays_and_goes_on_while_the_engine_changes() -> None:
    """It is no longer HTTP/1, so nobody can tell when it is quiet."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{message.data} on {engine_here()}")
        return socket

    def make() -> web.Application:
        app = make_app()
        app.router.add_get("/echo", echo)
        return app

    async with (
        serving(make) as server,
        ClientSession(base_url=server.urls[0]) as session,
        session.ws_connect("/echo") as socket,
    ):
        await socket.send_str("one")
        assert await socket.receive_str() == "one on epoll"
        assert (await server.switch("uring")).moved == 0
        await socket.send_str("two")
        assert await socket.receive_str() == "two on epoll"
        assert await ask(server) == "uring"

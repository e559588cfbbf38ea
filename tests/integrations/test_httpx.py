"""httpx and its successor httpx2, unchanged, with a real uvicorn on the same loop."""

import asyncio
import ssl
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from typing import Any

import pytest
from host_servers.app import App
from integrations.proof import assert_carried, running_engine
from programs import a_free_port
from uvicorn_server import served

BODY = bytes(range(256)) * 4096 * 3  # three mebibytes


@pytest.fixture(params=["httpx", "httpx2"])
def httpx(request: pytest.FixtureRequest) -> Any:
    return import_module(request.param)


async def one_request(httpx: Any) -> str:
    async with served(App()) as address, httpx.AsyncClient() as session:
        assert (await session.get(f"http://{address}/x")).text == "GET /x"
    return running_engine()


@pytest.mark.ours_only
@pytest.mark.consumer("httpx")
def test_the_line_of_the_page_runs_it(
    follow: Callable[..., Any], loop_kind: str
) -> None:
    assert follow(main=lambda: one_request(import_module("httpx"))) == loop_kind


@pytest.mark.ours_only
@pytest.mark.consumer("httpx2")
def test_the_line_of_the_page_runs_httpx2(
    follow: Callable[..., Any], loop_kind: str
) -> None:
    assert follow(main=lambda: one_request(import_module("httpx2"))) == loop_kind


async def test_many_requests_over_a_few_kept_connections(
    loop: AbstractEventLoop, httpx: Any
) -> None:
    limits = httpx.Limits(max_connections=10)
    async with (
        served(App()) as address,
        httpx.AsyncClient(base_url=f"http://{address}", limits=limits) as session,
    ):
        answers = await asyncio.gather(
            *(session.get(f"/{number}") for number in range(100))
        )
        assert [answer.text for answer in answers] == [
            f"GET /{number}" for number in range(100)
        ]
    assert_carried(loop, 100 * len("GET /0"))


async def test_bodies_are_streamed_both_ways(
    loop: AbstractEventLoop, httpx: Any
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(BODY), 100_000):
            yield BODY[start : start + 100_000]

    async with (
        served(App()) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as session,
        session.stream("POST", "/echo", content=pieces()) as answer,
    ):
        assert b"".join([piece async for piece in answer.aiter_bytes()]) == BODY
    assert_carried(loop, 2 * len(BODY))


async def test_requests_cross_tls(
    loop: AbstractEventLoop,
    httpx: Any,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    async with (
        served(App(), tls=server_context) as address,
        httpx.AsyncClient(
            base_url=f"https://{address}", verify=client_context
        ) as session,
    ):
        assert (await session.post("/echo", content=BODY)).content == BODY
        assert (await session.get("/again")).text == "GET /again"
    assert_carried(loop, 2 * len(BODY))


async def test_a_timeout_and_a_cancel_leave_the_client_usable(httpx: Any) -> None:
    app = App()
    async with (
        served(app) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as session,
    ):
        with pytest.raises(httpx.ReadTimeout):
            await session.get("/wait", timeout=httpx.Timeout(None, read=0.2))
        await app.somebody_left.wait()
        app.somebody_left.clear()

        waiting = asyncio.ensure_future(session.get("/wait", timeout=None))
        async with session.stream("GET", "/wait", timeout=None) as answer:
            assert answer.status_code == 200
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert (await session.get("/again")).text == "GET /again"


async def test_a_refused_connection_is_an_error_of_its_own(httpx: Any) -> None:
    with a_free_port() as port:
        async with httpx.AsyncClient() as session:
            with pytest.raises(httpx.ConnectError):
                await session.get(f"http://127.0.0.1:{port}")

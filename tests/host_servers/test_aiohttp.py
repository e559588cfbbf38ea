"""aiohttp's server and client, unchanged, both on the loop under test."""

import asyncio
import hashlib
import io
import sys
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from loops import in_words
from programs import started

BODY = bytes(range(256)) * 4096 * 3  # three mebibytes


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=f"hello {request.match_info['name']}")


async def digest(request: web.Request) -> web.Response:
    return web.Response(text=hashlib.sha256(await request.read()).hexdigest())


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(int(request.match_info["count"])):
        await response.write(b"%d;" % number)
    await response.write_eof()
    return response


async def websocket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


def make_app(folder: Path | None = None) -> web.Application:
    app = web.Application(client_max_size=100 * 1024 * 1024)
    app.router.add_get("/hello/{name}", hello)
    app.router.add_post("/digest", digest)
    app.router.add_post("/echo", echo)
    app.router.add_get("/stream/{count}", stream)
    app.router.add_get("/websocket", websocket)
    if folder is not None:
        app.router.add_static("/files", folder)
    return app


@asynccontextmanager
async def talking(
    folder: Path | None = None,
) -> AsyncIterator[aiohttp.ClientSession]:
    """A server, and a client session with its base URL."""
    runner = web.AppRunner(make_app(folder))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
        yield session
    await runner.cleanup()


async def test_many_requests_on_kept_connections() -> None:
    async with talking() as session:

        async def client(name: int) -> None:
            for number in range(20):
                async with session.get(f"/hello/{name}-{number}") as response:
                    assert await response.text() == f"hello {name}-{number}"

        await asyncio.gather(*(client(name) for name in range(20)))


async def test_big_bodies_go_both_ways() -> None:
    async with talking() as session:
        async with session.post("/digest", data=io.BytesIO(BODY)) as response:
            assert await response.text() == hashlib.sha256(BODY).hexdigest()
        async with session.post("/echo", data=io.BytesIO(BODY)) as response:
            assert await response.read() == BODY


async def test_bodies_are_streamed_both_ways() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(BODY), 100_000):
            yield BODY[start : start + 100_000]

    async with talking() as session:
        async with session.post("/echo", data=pieces()) as response:
            assert await response.read() == BODY
        async with session.get("/stream/1000") as response:
            expected = b"".join(b"%d;" % number for number in range(1000))
            assert await response.read() == expected


async def test_a_file_is_served_whole_and_in_ranges(tmp_path: Path) -> None:
    """aiohttp sends files with ``loop.sendfile``."""
    (tmp_path / "file").write_bytes(BODY)

    async with talking(tmp_path) as session:
        for _ in range(2):
            async with session.get("/files/file") as response:
                assert await response.read() == BODY
        ranged = {"Range": "bytes=1000-70999"}
        async with session.get("/files/file", headers=ranged) as response:
            assert response.status == 206
            assert await response.read() == BODY[1000:71_000]


@pytest.mark.ours_only
async def test_a_file_sent_past_the_transport_makes_its_connection_opaque(
    loop: AbstractEventLoop, tmp_path: Path
) -> None:
    """The HTTP/1 watcher has not seen the answer's body."""
    (tmp_path / "file").write_bytes(BODY)
    ours: Any = loop
    ours.watch_http1 = True

    async with talking(tmp_path) as session:
        async with session.get("/hello/x") as response:
            await response.read()
        (stream,) = [each for each in ours.streams() if not each.opaque]
        async with session.get("/files/file") as response:
            assert await response.read() == BODY
        assert stream.opaque
        assert stream.why_not_quiet.startswith("opaque: ")


async def test_a_websocket_echoes() -> None:
    async with talking() as session:
        async with session.ws_connect("/websocket") as socket:
            for number in range(100):
                await socket.send_str(f"message {number}")
                assert await socket.receive_str() == f"message {number}"
            await socket.send_bytes(BODY[:1_000_000])
            assert await socket.receive_bytes() == BODY[:1_000_000]
        assert socket.close_code == 1000


async def test_a_client_that_gives_up_does_not_disturb_the_others(
    loop: AbstractEventLoop,
) -> None:
    async with talking() as session:
        giving_up = asyncio.ensure_future(session.get("/stream/100000"))
        response = await giving_up
        await response.content.readexactly(1000)
        response.close()
        async with session.get("/hello/other") as other:
            assert await other.text() == "hello other"


PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
from aiohttp import web
import {module}
from test_aiohttp import make_app
web.run_app(
    make_app(), host="127.0.0.1", port=0, loop={module}.{name}(),
    print=lambda text: print(text, flush=True),
)
print("ended", flush=True)
"""


def test_run_app_serves_on_the_loop_it_is_given_and_ends_on_sigterm(
    loop_kind: str,
) -> None:
    module, _, name = in_words(loop_kind).partition(":")
    here = Path(__file__).parent
    program = PROGRAM.format(folder=str(here), module=module, name=name)
    with started(sys.executable, "-c", program, cwd=here.parent) as served:
        served.wait_for("Running on http://127.0.0.1:")
        with served.connect() as client:
            for number in range(20):
                assert client.get(f"/hello/{number}") == f"hello {number}"
        assert served.end() == 0
    assert served.out.endswith("ended\n")
    assert served.err == ""

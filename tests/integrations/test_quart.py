"""Quart, unchanged: under uvicorn and on its own, over HTTP/1, 2 and WebSockets."""

import asyncio
import socket
import ssl
import sys
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
from http_client import Client
from integrations.proof import assert_carried
from loops import factory_of
from programs import started
from quart import Quart, ResponseReturnValue, request, websocket
from uvicorn_server import served
from websockets.asyncio.client import connect

import aioadapt

BODY = bytes(range(256)) * 4096 * 3  # three mebibytes


def make_app() -> Quart:
    app = Quart(__name__)
    app.config["MAX_CONTENT_LENGTH"] = None

    @app.get("/hello/<name>")
    async def hello(name: str) -> ResponseReturnValue:
        return f"hello {name}"

    @app.post("/echo")
    async def echo() -> ResponseReturnValue:
        return await request.get_data()

    @app.get("/stream")
    async def stream() -> Any:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(500):
                yield b"%d;" % number

        return pieces(), 200

    @app.get("/loop")
    async def own_loop() -> ResponseReturnValue:
        return type(asyncio.get_running_loop()).__name__

    @app.websocket("/talk")
    async def talk() -> None:
        while True:
            await websocket.send(await websocket.receive())

    return app


async def use(session: httpx2.AsyncClient, version: str) -> None:
    answers = await asyncio.gather(
        *(session.get(f"/hello/{number}") for number in range(50))
    )
    assert [answer.text for answer in answers] == [f"hello {n}" for n in range(50)]
    assert {answer.http_version for answer in answers} == {version}
    assert (await session.post("/echo", content=BODY)).content == BODY
    expected = b"".join(b"%d;" % number for number in range(500))
    assert (await session.get("/stream")).content == expected
    own = type(asyncio.get_running_loop()).__name__
    assert (await session.get("/loop")).text == own


async def test_under_uvicorn(loop: AbstractEventLoop) -> None:
    async with served(make_app()) as address:
        async with httpx2.AsyncClient(base_url=f"http://{address}") as session:
            await use(session, "HTTP/1.1")
        async with connect(f"ws://{address}/talk") as talking:
            for number in range(50):
                await talking.send(f"message {number}")
                assert await talking.recv() == f"message {number}"
    assert_carried(loop, 2 * len(BODY))


async def test_run_task_serves_http_2_over_tls(
    loop: AbstractEventLoop,
    authority: trustme.CA,
    client_context: ssl.SSLContext,
    tmp_path: Path,
) -> None:
    """Quart uses hypercorn for this, on the running loop."""
    own = authority.issue_cert("127.0.0.1")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")

    stop = asyncio.Event()
    app: Any = make_app()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        serving = asyncio.ensure_future(
            app.run_task(
                f"fd://{listener.fileno()}",
                certfile=str(tmp_path / "certificate.pem"),
                keyfile=str(tmp_path / "key.pem"),
                shutdown_trigger=stop.wait,
            )
        )
        address = f"https://{host}:{port}"
        async with httpx2.AsyncClient(
            base_url=address, verify=client_context, http2=True
        ) as session:
            await use(session, "HTTP/2")
        stop.set()
        await serving
        listener.detach()  # hypercorn has closed it
    assert_carried(loop, 2 * len(BODY))


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import aioadapt
from integrations.test_quart import make_app
app = make_app()
try:
    {line}
finally:
    print("ended")
"""


@pytest.mark.ours_only
@pytest.mark.consumer("Quart")
def test_the_line_of_the_page_serves_it_until_sigterm(
    line: str, loop_kind: str
) -> None:
    tests = str(Path(__file__).parents[1])
    # It gets a listening socket, so no port has to be guessed.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, address = listener.fileno(), listener.getsockname()
        line = line.replace("app.run(", f"app.run('fd://{fd}', use_reloader=False, ")
        command = [sys.executable, "-c", PROGRAM.format(tests=tests, line=line)]
        environ = {"AIOADAPT_ENGINE": loop_kind}
        with started(*command, environ=environ, pass_fds=[fd]) as program:
            with Client(address) as client:
                own = getattr(aioadapt, client.get("/loop"))
                assert own is factory_of(loop_kind)
            # From 0.23 on it exits with status 3 after a signal.
            assert program.end() in (0, 3)
    assert program.out.endswith("ended\n")
    assert "Traceback" not in program.err

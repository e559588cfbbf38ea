"""FastAPI, unchanged, served by uvicorn: from the command line and in-process."""

import asyncio
import json
import shlex
import sys
from asyncio import AbstractEventLoop
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from integrations.fastapi_app import make_app
from integrations.proof import assert_carried
from loops import LoopFactory, factory_of
from programs import started
from uvicorn_server import served
from websockets.asyncio.client import connect

import aioadapt

BODY = bytes(range(256)) * 4096


@pytest.mark.ours_only
@pytest.mark.consumer("FastAPI")
def test_the_line_of_the_page_serves_it(line: str, loop_kind: str) -> None:
    program, *arguments = shlex.split(line.replace("module:app", "fastapi_app:app"))
    command = [sys.executable, "-m", program, *arguments, "--port", "0"]
    environ = {"AIOADAPT_ENGINE": loop_kind}
    with started(*command, cwd=Path(__file__).parent, environ=environ) as served:
        own = getattr(aioadapt, json.loads(served.get("/loop")))
        assert own is factory_of(loop_kind)
        served.end()
    assert "Finished server process" in served.err
    assert "Traceback" not in served.err


async def test_everything_it_is_used_for_works(loop: AbstractEventLoop) -> None:
    app = make_app()

    async def client(session: httpx2.AsyncClient, number: int) -> None:
        order = {"name": f"order {number}", "count": number}
        answer = await session.post(f"/orders/{number}", json=order)
        assert answer.json() == {
            "number": number,
            "order": order,
            "held": "a resource",
        }

    async with served(app) as address:
        assert app.state.loop is loop
        async with httpx2.AsyncClient(base_url=f"http://{address}") as session:
            await asyncio.gather(*(client(session, number) for number in range(50)))
            bad = await session.post("/upload")
            assert bad.status_code == 422
            assert (await session.get("/loop")).json() == type(loop).__name__
            # FastAPI runs plain functions in a worker thread.
            assert (await session.get("/thread")).json() is False
            uploaded = await session.post("/upload", files={"file": BODY})
            assert uploaded.json() == len(BODY)
            expected = b"".join(b"%d;" % number for number in range(1000))
            assert (await session.get("/stream")).content == expected
        async with connect(f"ws://{address}/talk", max_size=None) as socket:
            await socket.send(BODY)
            assert await socket.recv() == BODY
    assert sorted(app.state.noted[:-1]) == [*range(50)]
    assert app.state.noted[-1] == "ended"
    assert app.state.given_back == 50
    assert_carried(loop, len(BODY))


def test_its_test_client_runs_on_the_loop_it_is_told_to_make(
    loop_factory: LoopFactory,
) -> None:
    app = make_app()

    with TestClient(app, backend_options={"loop_factory": loop_factory}) as client:
        order = {"name": "an order", "count": 1}
        assert client.post("/orders/7", json=order).json()["order"] == order
        own = app.state.loop

    assert own.is_closed()
    assert type(own) is type(loop_factory_closed(loop_factory))


def loop_factory_closed(loop_factory: LoopFactory) -> AbstractEventLoop:
    loop = loop_factory()
    loop.close()
    return loop

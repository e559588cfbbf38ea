"""aiohttp on our loops: its ``run_app`` and its test utilities."""

import asyncio
import sys
import unittest
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import aiohttp.test_utils
import pytest
from aiohttp import web
from integrations.running import AppClient, check_end, serving
from programs import a_free_port

import aioadapt

PROGRAM = """
import aioadapt
from aiohttp import web
from aiohttp_app import app

{line}
"""


@pytest.mark.consumer("aiohttp")
def test_run_app_serves_on_the_loop_it_is_given_and_ends_on_sigterm(
    engine: str, engine_class: str, line: str, tmp_path: Path
) -> None:
    with a_free_port() as port:
        at_port = line.replace("(app, ", f'(app, host="127.0.0.1", port={port}, ')
        program = PROGRAM.format(line=at_port)
    with serving(
        [sys.executable, "-c", program], "Running on", engine, tmp_path
    ) as running:
        with AppClient(port) as client:
            facts = client.facts()
            assert client.echo(b"hello") == b"hello"
            assert client.facts() == facts
        assert facts["loop"] == engine_class
        assert facts["started"]

        running.end()
    check_end(running)


async def which(_: web.Request) -> web.Response:
    return web.Response(text=type(asyncio.get_running_loop()).__name__)


def make_app() -> web.Application:
    app = web.Application()
    app.router.add_get("/", which)
    return app


def names() -> dict[str, Any]:
    """The names that the page's lines use."""
    return {**vars(aiohttp.test_utils), "aioadapt": aioadapt, "make_app": make_app}


@pytest.mark.consumer("aiohttp's test utilities")
def test_a_loop_context_makes_the_loop_for_a_client_and_a_server(
    engine: str, engine_class: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOADAPT_ENGINE", engine)
    body = """
        async def main():
            async with TestClient(TestServer(make_app())) as client:
                return await (await client.get("/")).text()

        answer = loop.run_until_complete(main())
    """
    there = names()

    exec(line + indent(dedent(body), "    "), there)

    assert there["answer"] == engine_class
    assert there["loop"].is_closed()


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="unittest takes a loop factory from 3.13 on"
)
@pytest.mark.consumer("aiohttp's `AioHTTPTestCase`")
def test_a_test_case_runs_on_the_loop_of_its_factory(
    engine: str, engine_class: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOADAPT_ENGINE", engine)
    head = f"""
class Case(AioHTTPTestCase):
    {line}
"""
    body = """
        async def get_application(self):
            return make_app()

        async def test_it(self):
            answer = await (await self.client.get("/")).text()
            self.answers.append(answer)
    """
    there = names()
    exec(head + indent(dedent(body), "    "), there)
    case = there["Case"]("test_it")
    case.answers = []
    result = unittest.TestResult()

    case.run(result)

    assert (result.errors, result.failures) == ([], [])
    assert case.answers == [engine_class]

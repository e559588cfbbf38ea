"""pytest-asyncio, unchanged, runs a test suite on the loop under test."""

from pathlib import Path

import pytest
from loops import in_words
from programs import run_python

CONFTEST = """
import {module}


def pytest_asyncio_loop_factories(config, item):
    return {{"chosen": {module}.{name}}}
"""

SUITE = """
import asyncio
import {module}
import pytest
import pytest_asyncio


@pytest_asyncio.fixture
async def server():
    async def echo(reader, writer):
        writer.write(await reader.read(100))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


@pytest.mark.asyncio
async def test_the_loop_is_the_chosen_one():
    assert type(asyncio.get_running_loop()) is {module}.{name}


@pytest.mark.asyncio
async def test_a_fixture_and_a_test_share_the_loop(server):
    reader, writer = await asyncio.open_connection(*server)
    writer.write(b"hello")
    assert await reader.read() == b"hello"
    writer.close()
    await writer.wait_closed()


@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(5))
async def test_sleeps(number):
    await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_this_one_fails():
    assert await asyncio.sleep(0, 1) == 2
"""


@pytest.mark.consumer("pytest-asyncio")
def test_a_suite_runs_on_the_loop_its_conftest_chooses(
    loop_kind: str, tmp_path: Path
) -> None:
    module, _, name = in_words(loop_kind).partition(":")
    for file, text in (("conftest.py", CONFTEST), ("test_suite.py", SUITE)):
        (tmp_path / file).write_text(text.format(module=module, name=name))
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\n"
        "asyncio_default_fixture_loop_scope = function\n"
    )

    ended = run_python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        cwd=tmp_path,
        environ={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": ""},
    )

    assert "1 failed, 7 passed" in ended.out, ended.out + ended.err
    assert "test_this_one_fails" in ended.out
    assert ended.status == 1

"""Each program in ``examples/`` does what its docstring says, for a real client."""

import ast
import re
import signal
import socket
from pathlib import Path

import pytest
from programs import WITHIN_S

import aioadapt

from .running import EXAMPLES, running

PROGRAMS = sorted(EXAMPLES.glob("*.py"))

needs_uring = pytest.mark.skipif(
    not aioadapt.uring_support().available,
    reason=f"no io_uring here: {aioadapt.uring_support().reason}",
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_an_example_says_what_it_shows_and_how_to_run_it(program: Path) -> None:
    text = ast.get_docstring(ast.parse(program.read_text()))

    assert text is not None
    runs = rf"^ {{4}}.*(python|aioadapt serve).*\b{program.stem}\b"
    assert re.search(runs, text, re.MULTILINE)


def test_every_example_is_run_by_a_test() -> None:
    source = Path(__file__).read_text()

    assert [p.name for p in PROGRAMS if f'"{p.stem}' not in source] == []


@pytest.mark.parametrize("engine", ["epoll", pytest.param("uring", marks=needs_uring)])
def test_echo(engine: str) -> None:
    with running("echo.py", "0", environ={"AIOADAPT_ENGINE": engine}) as example:
        found = example.wait_for(r"echoing on ([\d.]+):(\d+), on (\w+)EventLoop")
        assert found[3].lower() == engine
        address = (found[1], int(found[2]))
        with (
            socket.create_connection(address, WITHIN_S) as peer,
            peer.makefile("rwb") as lines,
        ):
            for line in (b"hello\n", b"again\n"):
                lines.write(line)
                lines.flush()
                assert lines.readline() == line
            peer.shutdown(socket.SHUT_WR)
            assert lines.readline() == b""
        assert example.end(signal.SIGINT) == 0


@needs_uring
def test_changing_engines() -> None:
    pytest.importorskip("websockets")
    with running("changing_engines.py") as example:
        for what in ("1000 of 1000 messages came back", "20,000,000 bytes.*the same"):
            found = example.wait_for(rf"{what}; ([\d,]+) changes of the engine")
            assert int(found[1].replace(",", "")) > 5
        assert example.ended() == 0


def test_two_loops() -> None:
    with running("two_loops.py") as example:
        assert example.ended() == 0

    answered = re.findall(r"answered by (.*)", example.out)
    assert answered == ["{'a': 50}", "{'b': 50}", "{'a': 50}"]
    assert example.out.count("50 moved, left {}") == 2


@needs_uring
def test_adaptive_server() -> None:
    with running("adaptive_server.py", "0") as example:
        assert example.wait_for("serves http://127.0.0.1:")
        started_on = example.wait_for(r"^on (\w+): ")[1]
        with example.connect() as client:
            assert client.get().lower() == f"{started_on}eventloop\n"

            example.process.send_signal(signal.SIGUSR1)
            switched = example.wait_for(r"(\w+) > (\w+): 1 of 1 moved")

            assert switched[1] == started_on != switched[2]
            assert client.get().lower() == f"{switched[2]}eventloop\n"
        assert example.end() == 0
    assert example.out.endswith("\nended\n")


@needs_uring
def test_watching_decisions() -> None:
    with running("watching_decisions.py") as example:
        assert example.ended() == 0

    assert re.search(
        r"epoll +SWITCH +24 connections, at or above the threshold of 16",
        example.out,
    )
    assert re.search(
        r"uring +SWITCH +4 connections, at or below the threshold of 8", example.out
    )
    assert "otherwise: " in example.out
    assert "=== epoll > uring: 24 of 24 followed" in example.out
    assert "=== uring > epoll: 4 of 4 followed" in example.out


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["asgi_app:app"], r"request 1 on EpollEventLoop\n"),
        (["aiohttp_app:make_app", "--factory"], r"EpollEventLoop, after \d+ ticks"),
    ],
    ids=["asgi_app", "aiohttp_app"],
)
def test_applications(arguments: list[str], answer: str) -> None:
    command = ["-m", "aioadapt", "serve", *arguments, "--port", "0"]
    with running(*command, environ={"AIOADAPT_START": "auto"}) as example:
        assert re.match(answer, example.get())
        assert example.end() == 0

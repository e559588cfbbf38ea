"""A server as a user starts it: a separate command, with a log, until a signal."""

import asyncio
import contextlib
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import programs
import pytest
from aiohttp import ClientTimeout
from confined import __file__ as confined_script
from http_client import WITHIN_S, Client
from integrations.consumers import line_of
from programs import Program

APPS = Path(__file__).parent / "apps"
ROOT = Path(__file__).parents[2]

BIN = Path(sys.executable).parent
"""The folder of this environment's commands."""

SHUT_DOWN = "the application has shut down"

TROUBLE = re.compile(
    r"Traceback|exception|\w*Error\b|\w*Warning\b|\[(?:ERROR|CRITICAL|WARNING)\]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Command:
    """A consumer's line with its placeholders filled in."""

    name: str
    options: str  # may contain {port}
    package: str  # the test is skipped without it
    app: str = "asgi_app:app"

    def arguments(self, port: int) -> list[str]:
        if find_spec(self.package) is None:
            pytest.skip(f"{self.package} is not installed")
        line = line_of(self.name).replace("module:app", self.app)
        return shlex.split(f"{line} {self.options.format(port=port)}")


def confined(arguments: list[str], **limits: Any) -> list[str]:
    """The same command under limits: see ``confined.py``."""
    start = f"import os; os.execvp({arguments[0]!r}, {arguments!r})"
    return [sys.executable, confined_script, json.dumps(limits), start]


def trouble(log: str) -> list[str]:
    """The log lines that report a problem."""
    return [line for line in log.splitlines() if TROUBLE.search(line)]


def check_end(running: Program, status: int = 0, *, shut_downs: int = 1) -> None:
    """Check its status, and in its log that nothing failed and the apps shut down."""
    assert trouble(running.log) == [], running.log
    assert running.log.count(SHUT_DOWN) == shut_downs, running.log
    assert running.process.returncode == status, running.log


@contextlib.contextmanager
def started(arguments: list[str], engine: str, folder: Path) -> Iterator[Program]:
    """Run a command in *folder*; kill what is left of it afterwards."""
    before = os.environ.get("PYTHONPATH")
    path = [str(folder), str(APPS), str(ROOT), *([before] if before else [])]
    environ = {
        "AIOADAPT_ENGINE": engine,
        "HOME": str(folder),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
    }
    with programs.started(*arguments, cwd=folder, environ=environ) as program:
        yield program


@contextlib.contextmanager
def serving(
    arguments: list[str], listens: str, engine: str, folder: Path
) -> Iterator[Program]:
    """Run a server; the block starts once its log says that it *listens*."""
    with started(arguments, engine, folder) as program:
        program.wait_for(listens)
        yield program


def refusal(arguments: list[str], engine: str, folder: Path) -> tuple[int, str]:
    """The exit status and output of a command that cannot serve."""
    with started(arguments, engine, folder) as program:
        return program.ended(), program.log


def through_a_websocket(port: int, messages: list[bytes]) -> list[bytes]:
    """The replies to the messages."""

    async def main() -> list[bytes]:
        async with (
            aiohttp.ClientSession(timeout=ClientTimeout(WITHIN_S)) as session,
            session.ws_connect(f"http://127.0.0.1:{port}/ws") as socket,
        ):
            answers = []
            for message in messages:
                await socket.send_bytes(message)
                answers.append(await socket.receive_bytes(timeout=WITHIN_S))
            return answers

    return asyncio.run(main())


class AppClient(Client):
    """A client for the applications in ``apps``."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port))

    def connect(self) -> None:
        """Retry for a while: some servers say too early that they listen."""
        ends = time.monotonic() + WITHIN_S
        while True:
            try:
                return super().connect()
            except ConnectionRefusedError:
                # No event reports that another process listens.
                if time.monotonic() > ends:
                    raise
                time.sleep(0.01)

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.get())
        return facts

    def echo(self, body: bytes) -> bytes:
        return self.post("/echo", body)

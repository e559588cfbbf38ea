"""A server as a user starts it: a command of its own, with a log, until a signal.

It runs in a session of its own, so that whatever it starts can be found: after its
end nothing of it may be left.
"""

import asyncio
import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import ClientTimeout

APPS = Path(__file__).parent / "apps"
ROOT = Path(__file__).parents[2]

WITHIN_S = 40.0

BIN = Path(sys.executable).parent
"""Where the commands of this environment are."""

TROUBLE = re.compile(
    r"Traceback|exception|\w*Error\b|\w*Warning\b|\[(?:ERROR|CRITICAL|WARNING)\]",
    re.IGNORECASE,
)


@dataclass
class Running:
    """A server that listens, and what it has logged until now."""

    process: "subprocess.Popen[str]"
    log: list[str] = field(default_factory=list)

    def wait_for(self, pattern: str) -> None:
        """Until a line of its log matches."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)
            if re.search(pattern, line):
                return
        raise AssertionError(f"no {pattern!r} in its log:\n{''.join(self.log)}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after the signal; the log is whole then."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Its exit status, without a signal; the log is whole then."""
        assert self.process.stdout is not None
        group = self.process.pid
        overdue = threading.Timer(WITHIN_S, os.killpg, (group, signal.SIGKILL))
        overdue.start()
        try:
            # communicate() would pass by what wait_for has read ahead.
            self.log.append(self.process.stdout.read())
            return self.process.wait()
        finally:
            overdue.cancel()

    @property
    def trouble(self) -> list[str]:
        """The lines of its log that no undisturbed server writes."""
        lines = "".join(self.log).splitlines()
        return [line for line in lines if TROUBLE.search(line)]

    def nothing_is_left(self) -> None:
        """Wait until no process is left in its session; a zombie is not one."""
        for pid in session_of(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                watched = os.pidfd_open(pid)
                try:
                    gone, _, _ = select.select([watched], [], [], WITHIN_S)
                finally:
                    os.close(watched)
                assert gone, f"process {pid} outlives its server"


def session_of(leader: int) -> list[int]:
    """The processes that the session still has."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # pid (name, which may hold anything) state parent group session
            state, _, _, session = (
                (folder / "stat").read_text().rsplit(") ")[1].split()[:4]
            )
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(session) == leader and state not in "ZX":
            found.append(int(folder.name))
    return found


@contextlib.contextmanager
def a_free_port() -> Iterator[int]:
    """Nobody is given it meanwhile, and who names it, and reuses addresses, gets it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def environment(engine: str, folder: Path) -> dict[str, str]:
    before = os.environ.get("PYTHONPATH")
    path = [str(folder), str(APPS), str(ROOT), *([before] if before else [])]
    return {
        **os.environ,
        "AIOADAPT_ENGINE": engine,
        "HOME": str(folder),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.contextmanager
def started(arguments: list[str], engine: str, folder: Path) -> Iterator[Running]:
    """A command in *folder*; whatever is left of it afterwards is killed."""
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env=environment(engine, folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield Running(process)
        finally:
            for pid in session_of(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def serving(
    arguments: list[str], listens: str, engine: str, folder: Path
) -> Iterator[Running]:
    """A server, once its log says that it *listens*."""
    with started(arguments, engine, folder) as running:
        running.wait_for(listens)
        yield running


def refusal(arguments: list[str], engine: str, folder: Path) -> tuple[int, str]:
    """How a command ends that cannot serve: its status, and what it wrote."""
    with started(arguments, engine, folder) as running:
        log, _ = running.process.communicate(timeout=WITHIN_S)
        running.nothing_is_left()
    return running.process.returncode, log


def connected(port: int) -> socket.socket:
    """To a server that listens, or is about to: some say so a little too early."""
    ends = time.monotonic() + WITHIN_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), WITHIN_S)
        except ConnectionRefusedError:
            # Nothing tells when somebody begins to listen.
            if time.monotonic() > ends:
                raise
            time.sleep(0.01)


def through_a_websocket(port: int, messages: list[bytes]) -> list[bytes]:
    """What comes back for each message."""

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


class Client:
    """One connection, kept for every request."""

    def __init__(self, port: int) -> None:
        self._sock = connected(port)
        self._connection = http.client.HTTPConnection("127.0.0.1")
        self._connection.sock = self._sock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self._ask("GET", "/", None))
        return facts

    def echo(self, body: bytes) -> bytes:
        return self._ask("POST", "/echo", body)

    def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        self._connection.request(method, path, body)
        response = self._connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        assert self._connection.sock is self._sock, "it was closed by the server"
        return answer

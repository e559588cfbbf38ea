"""Start a server on one core, a client on another, and take one measurement."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from aioadapt.measure.usage import asleep
from benchmarks.build import program
from benchmarks.http_server import ANSWER, REQUEST
from benchmarks.lifeline import NOT_INSTALLED
from benchmarks.loops import NotInstalledError
from benchmarks.measure import Usage, pinned_to, usage

ROOT = Path(__file__).resolve().parent.parent

C_SERVERS = {"c-epoll": "c_echo_epoll", "c-uring": "c_echo_uring"}
C_DATAGRAM_SERVERS = {"c-epoll": "c_datagrams_epoll"}

#: Time for an interpreter to start and for a process to end; a guess, ample.
START_STOP_S = 10.0


class ServerError(Exception):
    """A server, or the client that looks at it, did not do what it should."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is asked of every server alike."""

    kind: str  # "echo", "datagrams" or "http"
    mode: str  # of an echo: "protocol", "buffered" or "streams"
    connections: int
    request_bytes: int
    seconds: float
    server_core: int
    client_core: int

    @property
    def title(self) -> str:
        connections = (
            f"{self.connections} connection{'s' if self.connections > 1 else ''}"
        )
        if self.kind == "http":
            return f"uvicorn with httptools, {connections}"
        if self.kind == "datagrams":
            return f"UDP echo of {self.request_bytes} bytes, {connections}"
        how = {
            "protocol": "",
            "buffered": " by BufferedProtocol",
            "streams": " by streams",
        }
        return f"TCP echo of {self.request_bytes} bytes{how[self.mode]}, {connections}"


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of one server."""

    operations: int
    seconds: float
    cpu_ns: int
    #: The longer of the two times that server or client was ready and did not
    #: run, because somebody else had its core.
    waited_ns: int
    faults: int
    #: From the first connect until every connection had one right answer.
    first_answers_s: float
    least_per_connection: int
    most_per_connection: int

    @property
    def cpu_us_per_operation(self) -> float:
        return self.cpu_ns / 1e3 / self.operations

    @property
    def faults_per_operation(self) -> float:
        return self.faults / self.operations

    @property
    def operations_per_s(self) -> float:
        return self.operations / self.seconds

    @property
    def busy_share(self) -> float:
        return self.cpu_ns / 1e9 / self.seconds

    @property
    def waited_share(self) -> float:
        return self.waited_ns / 1e9 / self.seconds


def server_command(name: str, kind: str, mode: str) -> list[str]:
    if name in C_SERVERS:
        if kind == "http":
            raise NotInstalledError("the C servers only echo")
        in_c = C_SERVERS if kind == "echo" else C_DATAGRAM_SERVERS
        if name not in in_c:
            raise NotInstalledError("it is not written for datagrams")
        return [str(program(in_c[name]))]
    python = [sys.executable, "-m"]
    if kind == "http":
        return [*python, "benchmarks.http_server", "--loop", name]
    mode = "datagrams" if kind == "datagrams" else mode
    return [*python, "benchmarks.echo_server", "--loop", name, "--mode", mode]


@contextlib.contextmanager
def child(
    command: list[str], core: int
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A process on one core, and what it says on its error output.

    On the way out its input ends, and it should too; a process that does not
    is killed.
    """
    with tempfile.TemporaryFile("w+") as errors:
        with pinned_to(core):
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        with process:
            assert process.stdin is not None
            try:
                yield process, errors
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                try:
                    process.wait(START_STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()


def read_line(process: subprocess.Popen[str], timeout_s: float) -> str:
    """The next line of its output; "" when there is none in time, or no more at all."""
    assert process.stdout is not None
    # Both programs print one line, then wait to be told to go on: nothing of
    # a line stays behind in the text buffer, where select would not see it.
    ready, _, _ = select.select([process.stdout], [], [], timeout_s)
    return process.stdout.readline() if ready else ""


@contextlib.contextmanager
def running_server(
    name: str, scenario: Scenario
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = server_command(name, scenario.kind, scenario.mode)
    with child(command, scenario.server_core) as (process, errors):
        line = read_line(process, START_STOP_S)
        if not line.strip().isdigit():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(START_STOP_S)
            complaint = last_line(errors) or "it printed no port"
            if process.returncode == NOT_INSTALLED:
                raise NotInstalledError(complaint)
            raise ServerError(complaint)
        try:
            yield process, int(line)
        except ServerError as error:
            complaint = last_line(errors)
            raise ServerError(
                f"{error} ({complaint})" if complaint else str(error)
            ) from error


def last_line(errors: IO[str]) -> str:
    errors.seek(0)
    return errors.read().strip().rpartition("\n")[2]


def client_command(port: int, scenario: Scenario) -> list[str]:
    command = [str(program("echo_client")), f"--port={port}"]
    command += [
        f"--connections={scenario.connections}",
        f"--seconds={scenario.seconds}",
    ]
    if scenario.kind == "http":
        return [*command, f"--request={REQUEST}", f"--answer={ANSWER}"]
    command += ["--datagrams"] if scenario.kind == "datagrams" else []
    return [*command, f"--bytes={scenario.request_bytes}"]


def client_says(
    client: subprocess.Popen[str], event: str, timeout_s: float
) -> dict[str, Any]:
    line = read_line(client, timeout_s)
    if not line:
        raise ServerError(f"the client did not get {event} within {timeout_s:g} s")
    said: dict[str, Any] = json.loads(line)
    if said["event"] != event:
        raise ServerError(said.get("message", line))
    return said


def settled_usage(pid: int) -> Usage:
    """What it has used once it sleeps, which the last answers leave it to do."""
    # Ample even where the core is shared with much other work.
    deadline = time.monotonic() + START_STOP_S
    while time.monotonic() < deadline:
        if asleep(pid):
            return usage(pid)
        time.sleep(0.002)
    raise ServerError("it does not sleep where it has nothing to do")


def measure(name: str, scenario: Scenario) -> Round:
    """One round of one server, both processes new.

    A new process each time, because the layout of its heap and the hashes of
    its strings are part of what differs from run to run.
    """
    with (
        running_server(name, scenario) as (server, port),
        child(client_command(port, scenario), scenario.client_core) as (client, _),
    ):
        assert client.stdin is not None
        ready = client_says(client, "ready", 3 * START_STOP_S)
        before, client_before = settled_usage(server.pid), usage(client.pid)
        client.stdin.write("\n")
        client.stdin.flush()
        done = client_says(client, "done", scenario.seconds + 2 * START_STOP_S)
        used = settled_usage(server.pid) - before
        client_used = usage(client.pid) - client_before
    return Round(
        operations=done["operations"],
        seconds=done["seconds"],
        cpu_ns=used.cpu_ns,
        waited_ns=max(used.waited_ns, client_used.waited_ns),
        faults=used.faults,
        first_answers_s=ready["first_answers_s"],
        least_per_connection=done["least_per_connection"],
        most_per_connection=done["most_per_connection"],
    )

"""One measurement: a server on one core, the load client on another."""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aioadapt.measure.processes import LoadClient, pinned_to
from aioadapt.measure.usage import ExperimentError, asleep
from benchmarks.build import program
from benchmarks.http_server import ANSWER, REQUEST
from benchmarks.lifeline import NOT_INSTALLED
from benchmarks.loops import NotInstalledError
from benchmarks.measure import Usage, usage

ROOT = Path(__file__).resolve().parent.parent

C_SERVERS = {"c-epoll": "c_echo_epoll", "c-uring": "c_echo_uring"}
C_DATAGRAM_SERVERS = {"c-epoll": "c_datagrams_epoll"}

#: Time for an interpreter to start and for a process to exit; a generous guess.
START_STOP_S = 10.0
#: Every connection has had its first response by then; this is for caches and the heap.
WARMUP_S = 0.3


class ServerError(Exception):
    """A server, or the client that checks its responses, did not do what it should."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The load, the same for every server."""

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
    #: The longer of two times: how long the server, or the client, was ready to run
    #: while another process had its core.
    waited_ns: int
    faults: int
    #: From the first connect until every connection had one correct response.
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
    """Start a process on one core; yields it and what it writes to stderr.

    On exit its input ends, which tells it to exit; if it does not, it is killed.
    """
    with tempfile.TemporaryFile("w+") as errors:
        with pinned_to({core}):
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
    """The first line of its output; "" if there is none in time."""
    assert process.stdout is not None
    # A server prints one line, so nothing can be left in the text buffer, where
    # select would not see it.
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
        except (ServerError, ExperimentError) as error:
            complaint = last_line(errors)
            raise ServerError(
                f"{error} ({complaint})" if complaint else str(error)
            ) from error


def last_line(errors: IO[str]) -> str:
    errors.seek(0)
    return errors.read().strip().rpartition("\n")[2]


def load_client(port: int, scenario: Scenario) -> LoadClient:
    if scenario.kind == "http":
        options = [f"--request={REQUEST}", f"--answer={ANSWER}"]
    elif scenario.kind == "datagrams":
        options = [f"--udp-echo={scenario.request_bytes}"]
    else:
        options = [f"--echo={scenario.request_bytes}"]
    return LoadClient(
        port,
        {scenario.client_core},
        most=scenario.connections,
        module="benchmarks.load",
        options=options,
    )


def settled_usage(pid: int) -> Usage:
    """What a process has used, once it has finished the last responses and sleeps."""
    # Ample even if the core is shared with much other work.
    deadline = time.monotonic() + START_STOP_S
    while time.monotonic() < deadline:
        if asleep(pid):
            return usage(pid)
        time.sleep(0.002)
    raise ServerError("it does not sleep although it has nothing to do")


def measure(name: str, scenario: Scenario) -> Round:
    """One round of one server.

    Both processes are new each time, because the layout of a heap and the hashes
    of strings are part of what differs from run to run.
    """
    connections = scenario.connections
    with (
        running_server(name, scenario) as (server, port),
        load_client(port, scenario) as client,
    ):
        first = client.run(connections=connections, operations=connections)
        client.run(connections=connections, seconds=WARMUP_S)
        before, client_before = settled_usage(server.pid), usage(client.pid)
        done = client.run(connections=connections, seconds=scenario.seconds)
        used = settled_usage(server.pid) - before
        client_used = usage(client.pid) - client_before
    return Round(
        operations=done["requests"],
        seconds=done["seconds"],
        cpu_ns=used.cpu_ns,
        waited_ns=max(used.waited_ns, client_used.waited_ns),
        faults=used.faults,
        first_answers_s=first["first_answers_s"],
        least_per_connection=done["least_per_connection"],
        most_per_connection=done["most_per_connection"],
    )

"""Counts what one row costs on one build."""

import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .server import OPERATIONS

SERVER = Path(__file__).with_name("server.py")

REQUESTS = 500
WARM_UP = 50
ECHO_BYTES = 64
STARTS_WITHIN_S = 120.0  # an interpreter under valgrind that imports aiohttp
ANSWERS_WITHIN_S = 60.0

VDSO = {"clock_gettime", "gettimeofday", "time", "getcpu"}
"""Calls that enter the kernel under valgrind only."""


class CountingError(Exception):
    """Something did not run as it should; the message says what."""


@dataclass
class Cost:
    """Of one operation."""

    instructions: float
    calls: dict[str, float] = field(default_factory=dict)

    @property
    def all_calls(self) -> float:
        return sum(self.calls.values())


def count(python: Path, row: str, engine: str) -> Cost:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _server(python, row, engine, folder) as server:
            server.exchange(WARM_UP)
            server.settle()
            server.vgdb("instrumentation on")
            start = server.log_bytes()
            operations = server.exchange(REQUESTS)
            server.settle()
            end = server.log_bytes()
            # Before anything else runs: this writes the counters, and resets them.
            server.vgdb("dump")
        counts = (folder / "callgrind.1").read_text()
        found = re.search(r"^(?:summary|totals): (\d+)", counts, re.M)
        if found is None:
            raise CountingError(f"callgrind counted nothing in {row} on {engine}")
        log = (folder / "log").read_bytes()[start:end].decode(errors="replace")
        calls = Counter(re.findall(r"^SYSCALL\[\d+,\d+\]\(\d+\) sys_(\w+)", log, re.M))
        return Cost(
            int(found[1]) / operations,
            {n: c / operations for n, c in calls.items() if n not in VDSO},
        )


class _Server:
    def __init__(
        self, process: "subprocess.Popen[str]", row: str, folder: Path
    ) -> None:
        assert process.stdout is not None
        self._process = process
        self._row = row
        self._folder = folder
        ready, _, _ = select.select([process.stdout], [], [], STARTS_WITHIN_S)
        line = process.stdout.readline() if ready else ""
        if not line:
            raise CountingError(
                f"the server of {row} did not start:\n{(folder / 'errors').read_text()}"
            )
        self.port, orders = map(int, line.split())
        self.orders = socket.create_connection(("127.0.0.1", orders))
        self.client = self._connect() if self.port else None

    def _connect(self) -> socket.socket:
        return socket.create_connection(
            ("127.0.0.1", self.port), timeout=ANSWERS_WITHIN_S
        )

    def exchange(self, requests: int) -> int:
        """One request after the other, or the row's own run; returns operations."""
        if self.client is None:
            self.orders.sendall(b"r")
            return OPERATIONS
        request = b"x" * ECHO_BYTES
        is_echo = self._row in ("echo", "churn")
        if not is_echo:
            request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for _ in range(requests):
            if self._row == "churn":
                self.client.close()
                self.client = self._connect()
            self.client.sendall(request)
            received = self.client.recv(65536)
            ends = (len(received) == ECHO_BYTES, received.endswith(b"hello"))
            while not ends[not is_echo]:
                more = self.client.recv(65536)
                if not more:
                    raise CountingError(f"{self._row}: the server closed: {received!r}")
                received += more
                ends = (len(received) == ECHO_BYTES, received.endswith(b"hello"))
            # Else the next request finds it awake or asleep, by chance.
            self.settle(looks=3, pause_s=0.0002)
        return requests

    def settle(self, *, looks: int = 20, pause_s: float = 0.005) -> None:
        """Wait until the server's thread sleeps, and has done so for several looks."""
        deadline = time.monotonic() + ANSWERS_WITHIN_S
        asleep = 0
        while asleep < looks:
            if time.monotonic() > deadline:
                raise CountingError(f"the server of {self._row} does not go to sleep")
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
            asleep = asleep + 1 if stat.rpartition(")")[2].split()[0] == "S" else 0
            time.sleep(pause_s)

    def log_bytes(self) -> int:
        return (self._folder / "log").stat().st_size

    def vgdb(self, command: str) -> None:
        done = subprocess.run(
            ["vgdb", f"--pid={self._process.pid}", *command.split()],
            capture_output=True,
            text=True,
            timeout=ANSWERS_WITHIN_S,
            check=False,
        )
        if done.returncode != 0:
            raise CountingError(f"vgdb {command}: {done.stdout}{done.stderr}")

    def stop(self) -> None:
        self.orders.sendall(b"q")
        self._process.wait(ANSWERS_WITHIN_S)


@contextlib.contextmanager
def _server(python: Path, row: str, engine: str, folder: Path) -> Iterator[_Server]:
    command = [
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--trace-syscalls=yes"),
        *(
            f"--log-file={folder / 'log'}",
            f"--callgrind-out-file={folder / 'callgrind'}",
        ),
        *(str(python), str(SERVER), row, engine),
    ]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIOADAPT_", "PYTHON"))
    }
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        try:
            server = _Server(process, row, folder)
            yield server
            server.stop()
        except OSError as error:
            raise CountingError(f"{row} on {engine}: {error}") from error
        finally:
            # In io_uring_enter valgrind hears no other signal.
            process.kill()


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

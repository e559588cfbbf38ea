"""Programs in separate processes: their output, and how they end.

Each program gets its own session, so that the processes it starts can be found: none
may be left after it ends.  Threads read its output, so it never blocks on a full pipe.
"""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from http_client import Client

WITHIN_S = 50.0
"""Far more than any program needs; a test may take 60."""


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


def run_python(
    *arguments: str,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    stdin: str = "",
) -> Ended:
    """Run Python until it exits by itself."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def printed_by_python(*arguments: str, cwd: Path | None = None, stdin: str = "") -> str:
    """What Python prints; it must exit with status 0."""
    ended = run_python(*arguments, cwd=cwd, stdin=stdin)
    assert ended.status == 0, ended.out + ended.err
    return ended.out


class Program:
    """A running program, and its output so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._lines: list[tuple[IO[str], str]] = []
        self._looked_at: Counter[str] = Counter()  # lines already searched, by pattern
        self._changed = threading.Condition()
        assert process.stdout is not None
        assert process.stderr is not None
        self._out, self._err = process.stdout, process.stderr
        self._open = {self._out, self._err}
        self._readers = [
            threading.Thread(target=self._read, args=[stream]) for stream in self._open
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str]) -> None:
        try:
            with stream:
                for line in stream:
                    with self._changed:
                        self._lines.append((stream, line))
                        self._changed.notify_all()
        finally:
            with self._changed:
                self._open.discard(stream)
                self._changed.notify_all()

    def _said(self, *streams: IO[str]) -> str:
        return "".join(line for stream, line in self._lines if stream in streams)

    @property
    def out(self) -> str:
        return self._said(self._out)

    @property
    def err(self) -> str:
        return self._said(self._err)

    @property
    def log(self) -> str:
        """stdout and stderr, in the order in which the lines arrived."""
        return self._said(self._out, self._err)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line that matches and was not returned for this pattern before."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: self._next(pattern) or not self._open, WITHIN_S
            )
        assert isinstance(found, re.Match), f"no {pattern!r} in:\n{self.log}"
        return found

    def _next(self, pattern: str) -> re.Match[str] | None:
        for _, line in self._lines[self._looked_at[pattern] :]:
            self._looked_at[pattern] += 1
            if match := re.search(pattern, line):
                return match
        return None

    @cached_property
    def port(self) -> int:
        """The port of the first URL in its output."""
        return int(self.wait_for(r"://\S*:(\d+)")[1])

    def connect(self) -> Client:
        return Client(("127.0.0.1", self.port))

    def get(self, path: str = "/") -> str:
        """The answer to one request, on a new connection."""
        with self.connect() as client:
            return client.get(path)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal; return the exit status once the output is complete."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait until it exits; return the exit status once the output is complete."""
        with self._changed:
            whole = self._changed.wait_for(lambda: not self._open, WITHIN_S)
        assert whole, f"it does not end:\n{self.log}"
        return self.process.wait(WITHIN_S)

    def kill(self) -> None:
        """Kill every process left in its session."""
        for pid in session_of(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(WITHIN_S)
        for reader in self._readers:
            reader.join()


@contextlib.contextmanager
def started(
    *arguments: str,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[Program]:
    """Run a program during the block; if the block ends it, no process may be left."""
    program = Program(
        subprocess.Popen(
            arguments,
            cwd=cwd,
            env={**os.environ, **(environ or {})},
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    )
    try:
        yield program
        if program.process.poll() is not None:
            wait_until_none_is_left(program.process.pid)
    finally:
        program.kill()


@contextlib.contextmanager
def a_free_port() -> Iterator[int]:
    """A port that only a program binding it explicitly, with SO_REUSEADDR, can get."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def wait_until_none_is_left(session: int) -> None:
    for pid in session_of(session):
        with contextlib.suppress(ProcessLookupError):
            watched = os.pidfd_open(pid)
            try:
                gone, _, _ = select.select([watched], [], [], WITHIN_S)
            finally:
                os.close(watched)
            assert gone, f"process {pid} outlives the program that started it"


def session_of(leader: int) -> list[int]:
    """The processes still in the session, without zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # pid (name, which may contain anything) state parent group session
            state, _, _, session = (
                (folder / "stat").read_text().rsplit(") ")[1].split()[:4]
            )
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(session) == leader and state not in "ZX":
            found.append(int(folder.name))
    return found

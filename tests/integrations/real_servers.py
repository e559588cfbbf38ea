"""A real server as a child of the tests: ready before it is used, gone after them.

It is told to end when this process ends, however that comes about: a test that
hangs takes its process down without any clean-up.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

READY_WITHIN_S = 40.0
ENDS_WITHIN_S = 10.0
TRIES = 5
"""How often a port is chosen anew because somebody was quicker; a guess."""


class NotStartedError(Exception):
    """The server ended before it was ready; the message is what it said."""


def program(*names: str, package: str) -> str:
    """The path of the first program found, or a skip that names Debian's package."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no {names[0]} here; Debian's package is {package}")


def free_port() -> int:
    """A port that was free a moment ago; whoever uses it must be ready to lose it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def as_user(user: str | None) -> list[str]:
    """What to put before a command: it ends with us, and runs as *user* if named."""
    command = ["setpriv", "--pdeathsig", "INT"]
    if user is not None:
        command += ["--reuid", user, "--regid", user, "--clear-groups"]
    return [*command, "--"]


class _Output:
    """Reads a child's output to its end, so that the child never waits for a reader."""

    def __init__(self, process: subprocess.Popen[str], ready_when: str) -> None:
        assert process.stdout is not None
        self._pipe = process.stdout
        self._ready_when = ready_when
        self.lines: list[str] = []
        self.ready = False
        self.settled = threading.Event()
        self.thread = threading.Thread(target=self._read, name="output of a server")
        self.thread.start()

    def _read(self) -> None:
        with self._pipe:
            for line in self._pipe:
                self.lines.append(line)
                if self._ready_when in line:
                    self.ready = True
                    self.settled.set()
        self.settled.set()


@contextmanager
def running(
    command: Sequence[str], *, ready_when: str, user: str | None = None
) -> Iterator[None]:
    """Inside, the server has said that it is ready.

    Raises:
        NotStartedError: it ended instead, or said nothing of the kind in time.
    """
    process = subprocess.Popen(
        [*as_user(user), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    output = _Output(process, ready_when)
    try:
        output.settled.wait(READY_WITHIN_S)
        if not output.ready:
            raise NotStartedError("".join(output.lines) or f"{command[0]} was silent")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(ENDS_WITHIN_S)
        finally:
            process.kill()
            process.wait()
            output.thread.join()

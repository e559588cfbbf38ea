"""``aioadapt serve`` in a process of its own."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

APPS = Path(__file__).parent / "apps"
FORKED = Path(__file__).parent / "forked.py"
ROOT = Path(__file__).parents[2]

WITHIN_S = 25.0


@dataclass
class Served:
    """A running command, and what it has logged until it listened."""

    process: "subprocess.Popen[str]"
    port: int  # 0 of a Unix socket
    log: list[str] = field(default_factory=list)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN_S)

    def get(self, path: str = "/") -> str:
        connection = self.connect()
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Its exit status, and the rest of what it wrote."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str, str]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        overdue = threading.Timer(WITHIN_S, self.process.kill)
        overdue.start()
        try:
            # communicate() would pass by what wait_for has read ahead.  The few lines
            # of stdout fit into its pipe.
            err = self.process.stderr.read()
            out = self.process.stdout.read()
            return self.process.wait(), out, err
        finally:
            overdue.cancel()

    def wait_for(self, words: str) -> str:
        """The next line of its log that has these words."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if words in line:
                return line
        raise AssertionError(f"{words!r} is not in {self.log}")


MODULE = (sys.executable, "-m", "aioadapt")
"""One way to run it; what does not depend on the way is tested with this."""
INSTALLED = (str(Path(sysconfig.get_path("scripts"), "aioadapt")),)
"""The other way: what the package installs."""


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    return {**os.environ, "PYTHONPATH": path}


@contextlib.contextmanager
def serving(
    *arguments: str, command: tuple[str, ...] = MODULE, port: int = 0
) -> Iterator[Served]:
    """A command on a port of its own, once it listens."""
    if "--admin" not in arguments:
        arguments = *arguments, "--admin", "off"
    process = subprocess.Popen(
        [*command, "serve", *arguments, "--port", str(port)],
        cwd=APPS,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    served = Served(process, 0)
    try:
        line = served.wait_for("Listening on")
        found = re.search(r"://[^ ]*:(\d+)", line)
        served.port = int(found[1]) if found is not None else 0
        served.wait_for("Starting on")
        yield served
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


class Refusals:
    """Commands that cannot begin; all forked from one process, see forked.py."""

    def __init__(self, folder: Path) -> None:
        self._said = folder / "stderr"
        self._process = subprocess.Popen(
            [sys.executable, str(FORKED)],
            cwd=APPS,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def of(self, *arguments: str) -> str:
        """The one line with which ``aioadapt serve`` says that it cannot begin."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        self._said.unlink(missing_ok=True)
        asked = {"arguments": ["serve", *arguments], "stderr": str(self._said)}
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        status = int(process.stdout.readline())
        return the_line_of(status, self._said.read_text())

    def close(self) -> None:
        self._process.communicate(timeout=WITHIN_S)


def refusal(*arguments: str) -> str:
    """The same of a process that is begun as people begin it."""
    ended = subprocess.run(
        [*MODULE, "serve", *arguments],
        cwd=APPS,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    return the_line_of(ended.returncode, ended.stderr)


def the_line_of(status: int, err: str) -> str:
    assert status == 2, err
    assert "Traceback (most" not in err
    lines = err.strip().splitlines()
    # uvicorn logs the start-up before it fails.
    own = [line for line in lines if not line.startswith(("INFO:", "ERROR:"))]
    assert len([line for line in own if line.startswith("aioadapt: ")]) == 1
    assert lines[-1].startswith("aioadapt: ")
    return lines[-1]

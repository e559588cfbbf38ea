"""``aioadapt serve`` in a separate process."""

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from programs import WITHIN_S, Program, run_python, started

APPS = Path(__file__).parent / "apps"
FORKED = Path(__file__).parent / "forked.py"
ROOT = Path(__file__).parents[2]


MODULE = (sys.executable, "-m", "aioadapt")
"""One way to run it, used by tests that do not depend on the way."""
INSTALLED = (str(Path(sysconfig.get_path("scripts"), "aioadapt")),)
"""The other way: the installed script."""


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    return {"PYTHONPATH": path}


@contextlib.contextmanager
def serving(
    *arguments: str, command: tuple[str, ...] = MODULE, port: int = 0
) -> Iterator[Program]:
    """A command on its own port, once it listens."""
    command = *command, "serve", *arguments, "--port", str(port)
    with started(*command, cwd=APPS, environ=environment()) as served:
        served.wait_for("Starting on")
        yield served


class Refusals:
    """Runs commands that cannot start, all forked from one process: see forked.py."""

    def __init__(self, folder: Path) -> None:
        self._said = folder / "stderr"
        self._process = subprocess.Popen(
            [sys.executable, str(FORKED)],
            cwd=APPS,
            env={**os.environ, **environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def of(self, *arguments: str) -> str:
        """The one line that says why ``aioadapt serve`` cannot start."""
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
    """The same, from a process started the way users start it."""
    ended = run_python(
        *MODULE[1:], "serve", *arguments, cwd=APPS, environ=environment()
    )
    return the_line_of(ended.status, ended.err)


def the_line_of(status: int, err: str) -> str:
    assert status == 2, err
    assert "Traceback (most" not in err
    lines = err.strip().splitlines()
    # uvicorn logs the start-up before it fails.
    own = [line for line in lines if not line.startswith(("INFO:", "ERROR:"))]
    assert len([line for line in own if line.startswith("aioadapt: ")]) == 1
    assert lines[-1].startswith("aioadapt: ")
    return lines[-1]

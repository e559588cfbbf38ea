"""An example as its reader runs it: a process of its own, that ends in time."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ENDS_WITHIN_S = 40.0


class Example:
    """A running example, and the lines that it prints."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The next line in which *pattern* is found."""
        deadline = time.monotonic() + ENDS_WITHIN_S
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} in {self.lines}") from None
            if line is None:
                raise AssertionError(f"it ended without {pattern!r}: {self.lines}")
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match

    def end(self, number: signal.Signals) -> int:
        """Its exit status after that signal."""
        self.process.send_signal(number)
        return self.process.wait(ENDS_WITHIN_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        while (line := self._queue.get()) is not None:
            self.lines.append(line)

    @property
    def printed(self) -> str:
        """All that was printed; to be read when it has ended."""
        return "".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)


@contextlib.contextmanager
def running(
    *arguments: str, environ: dict[str, str] | None = None
) -> Iterator[Example]:
    """Python with *arguments*, in the folder of the examples; stderr with stdout."""
    example = Example(
        subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            cwd=EXAMPLES,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | (environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )
    try:
        yield example
    finally:
        example.close()
    assert "Traceback" not in example.printed, example.printed
    assert "Exception ignored" not in example.printed, example.printed

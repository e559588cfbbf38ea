"""The processes of a measurement: servers and the load client, pinned to their cores.

Both communicate in JSON lines.  They exit when their input ends, so none outlives
its parent.
"""

import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

from .usage import ExperimentError

#: For an interpreter to start, or a server to exit; a generous guess.
STARTS_WITHIN_S = 20.0
ENDS_WITHIN_S = 15.0
#: In addition to a run's own seconds: more than the wait for a lost response.
ANSWERS_WITHIN_S = 30.0
#: For a run of a number of operations, perhaps under an instruction counter; a guess.
OPERATIONS_WITHIN_S = 600.0


@contextmanager
def pinned_to(cores: Iterable[int]) -> Iterator[None]:
    """Pin every process that the calling thread starts in this block to these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Child:
    """A child process that exchanges JSON lines with us."""

    def __init__(
        self, arguments: Sequence[str], cores: Iterable[int], *, cwd: Path | None = None
    ) -> None:
        self.name = arguments[0].rpartition(".")[2]
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        try:
            with pinned_to(cores):
                self._process = subprocess.Popen(
                    [sys.executable, "-m", *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    cwd=cwd,
                )
        except BaseException:
            self._errors.close()
            raise
        self._read = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, what: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone("it exited") from None

    def hear(self, timeout_s: float) -> dict[str, Any]:
        """Wait for its next message.

        Raises:
            ExperimentError: no message in time, or it has exited, or it failed.
        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        output = self._process.stdout.fileno()
        while b"\n" not in self._read:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([output], [], [], left_s)[0]:
                raise self._gone(f"no message for {timeout_s:g} s")
            more = os.read(output, 1 << 20)
            if not more:
                raise self._gone("it exited")
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise ExperimentError(f"{self.name}: {said['error']}")
        return said

    def ask(self, what: object, timeout_s: float = ANSWERS_WITHIN_S) -> dict[str, Any]:
        self.tell(what)
        return self.hear(timeout_s)

    def _gone(self, how: str) -> ExperimentError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        self._errors.seek(0)
        last = self._errors.read().strip().rpartition("\n")[2] or "no reason given"
        return ExperimentError(f"the {self.name} process: {how} ({last})")

    def stop(self) -> None:
        """End its input and wait; kill it if it does not exit."""
        with self._process as process, self._errors:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


class LoadClient(Child):
    """A :class:`~.crowd.Crowd` in a process of its own."""

    def __init__(
        self,
        port: int,
        cores: Iterable[int],
        *,
        most: int,
        module: str = "aioadapt.measure.load",
        options: Sequence[str] = (),
    ) -> None:
        """*module* is the program, and *options* are its further ones."""
        allow_descriptors(most + 64)
        command = [module, f"--port={port}", f"--most={most}"]
        super().__init__([*command, *options], cores)

    def begin(self, **order: Any) -> None:
        """Start a run: the arguments of ``Crowd.run``.  :meth:`result` waits for it."""
        self._seconds = float(order.get("seconds", OPERATIONS_WITHIN_S))
        self.tell(order)

    def result(self) -> dict[str, Any]:
        return self.hear(self._seconds + ANSWERS_WITHIN_S)

    def run(self, **order: Any) -> dict[str, Any]:
        self.begin(**order)
        return self.result()


def allow_descriptors(count: int) -> None:
    """Raise the descriptor limit, which children inherit, if it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ExperimentError(
            f"{count} descriptors are needed, but the hard limit is {hard}: raise it "
            f"(ulimit -Hn), or measure fewer connections"
        )
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))

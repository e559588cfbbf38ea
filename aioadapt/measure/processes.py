"""The processes of a measurement: servers and the load client, each on its cores.

Both speak in JSON lines.  They end when their input does, so that none
outlives who has started it.
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

#: For an interpreter to start, or a server to end; a guess, ample.
STARTS_WITHIN_S = 20.0
ENDS_WITHIN_S = 15.0
#: Beyond a run's own seconds: until a lost answer has been given up, and more.
ANSWERS_WITHIN_S = 30.0


@contextmanager
def pinned_to(cores: Iterable[int]) -> Iterator[None]:
    """Whatever the calling thread starts in this block runs on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Child:
    """A process of ours, spoken to in JSON lines."""

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
            raise self._gone("it ended") from None

    def hear(self, timeout_s: float) -> dict[str, Any]:
        """The next thing that it says.

        Raises:
            ExperimentError: it says nothing in time, or has ended, or failed.
        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        output = self._process.stdout.fileno()
        while b"\n" not in self._read:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([output], [], [], left_s)[0]:
                raise self._gone(f"it said nothing for {timeout_s:g} s")
            more = os.read(output, 1 << 20)
            if not more:
                raise self._gone("it ended")
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
        last = self._errors.read().strip().rpartition("\n")[2] or "it gave no reason"
        return ExperimentError(f"the process of {self.name}: {how} ({last})")

    def stop(self) -> None:
        """End its input, and wait; who does not end is killed."""
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
    """The crowd, in its own process."""

    def __init__(self, port: int, cores: Iterable[int], *, most: int) -> None:
        allow_descriptors(most + 64)
        super().__init__(
            ["aioadapt.measure.load", "--port", str(port), "--most", str(most)],
            cores,
        )

    def begin(self, **order: Any) -> None:
        """Start a run: the arguments of ``Crowd.run``.  :meth:`result` waits for it."""
        self._seconds = float(order["seconds"])
        self.tell(order)

    def result(self) -> dict[str, Any]:
        return self.hear(self._seconds + ANSWERS_WITHIN_S)

    def run(self, **order: Any) -> dict[str, Any]:
        self.begin(**order)
        return self.result()


def allow_descriptors(count: int) -> None:
    """Raise the limit that children inherit, as far as that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ExperimentError(
            f"{count} descriptors are needed and the hard limit is {hard}: raise it "
            f"(ulimit -Hn), or measure fewer connections"
        )
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))

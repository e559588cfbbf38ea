"""The parent of worker processes: when, and how soon, it replaces one."""

import asyncio
import errno
import logging
import os
import re
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
from serving.served import WITHIN_S

from aioadapt import ServeError
from aioadapt.serving import workers


class Lives:
    """Workers that live for the given times, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *lives: dict[str, Any]) -> None:
        self.parent = workers._Parent("app", {}, SimpleNamespace(close=int), 1)  # type: ignore[arg-type]
        self._lives = list(lives)
        monkeypatch.setattr(self.parent, "_run_worker", self._run_worker)

    async def _run_worker(self) -> Any:
        life = {"serves": True, "lives_s": 0.0, "exitcode": 1, **self._lives.pop(0)}
        await asyncio.sleep(life["lives_s"])
        if not self._lives:
            self.parent._finish()
        process = SimpleNamespace(pid=1, exitcode=life["exitcode"])
        worker = workers._Worker(process, SimpleNamespace())  # type: ignore[arg-type]
        worker.serves = life["serves"]
        worker.failure = life.get("failure")
        return worker

    def pauses_s(self, caplog: pytest.LogCaptureFixture) -> list[float]:
        with caplog.at_level(logging.ERROR, "aioadapt"):
            asyncio.run(self.parent._supervise_one())
        said = [re.search(r"a new one in (.*) s", line) for line in caplog.messages]
        return [float(match[1]) for match in said if match is not None]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(workers, "LONGEST_PAUSE_S", 0.005)
    monkeypatch.setattr(workers, "GROWN_UP_S", 0.05)


def test_a_worker_that_dies_young_is_replaced_later_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lives = Lives(monkeypatch, *[{} for _ in range(6)])

    assert lives.pauses_s(caplog) == [0.001, 0.002, 0.004, 0.005, 0.005]


def test_after_one_that_has_lived_the_pause_is_short_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lives = Lives(monkeypatch, {}, {}, {"lives_s": 0.06}, {}, {})

    assert lives.pauses_s(caplog) == [0.001, 0.002, 0.001, 0.002]


@pytest.mark.parametrize("pidfds", [True, False], ids=["pidfd", "no pidfd"])
def test_waiting_for_a_workers_end_leaves_the_loop_free(
    monkeypatch: pytest.MonkeyPatch, pidfds: bool
) -> None:
    """The loop has the signals to handle."""

    def pidfd_open(pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    async def main(process: "subprocess.Popen[bytes]") -> None:
        async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
            waiting = group.create_task(workers._end_of(AsWorker(process)))  # type: ignore[arg-type]
            for _ in range(10):
                await asyncio.sleep(0)
            assert not waiting.done()
            assert process.stdin is not None
            process.stdin.close()
        assert process.returncode == 0

    if not pidfds:
        monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    # Ends when its input does.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        asyncio.run(main(process))


class AsWorker:
    """A process as multiprocessing shows it, without what that leaves open."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid

    @property
    def exitcode(self) -> int | None:
        return self._process.poll()

    def join(self) -> None:
        self._process.wait()


def test_one_that_cannot_start_has_the_others_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second SIGTERM would end them at once, with the requests that they have."""
    told: list[SimpleNamespace] = []

    def process(**_: Any) -> SimpleNamespace:
        made = SimpleNamespace(pid=1, exitcode=None, signals=0, start=int)
        made.terminate = lambda: setattr(made, "signals", made.signals + 1)
        told.append(made)
        return made

    async def end_of(process: SimpleNamespace) -> None:
        if process is told[0] and process.signals == 0:
            await asyncio.Event().wait()
        process.exitcode = 1

    monkeypatch.setattr(
        workers, "_spawn", SimpleNamespace(Pipe=workers._spawn.Pipe, Process=process)
    )
    monkeypatch.setattr(workers, "_end_of", end_of)
    listening: Any = SimpleNamespace(close=int, sockets=[])
    parent = workers._Parent("app", {}, listening, 2)

    with pytest.raises(ServeError, match="a worker could not start"):
        asyncio.run(parent.run())

    assert [process.signals for process in told] == [1, 0]


@pytest.mark.parametrize("exitcode", [0, 1, 2])
def test_one_that_ends_by_itself_without_having_served_ends_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, exitcode: int
) -> None:
    lives = Lives(monkeypatch, {"serves": False, "exitcode": exitcode}, {})

    with pytest.raises(ServeError, match=f"exit code {exitcode}"):
        lives.pauses_s(caplog)


@pytest.mark.parametrize(
    "first", [{"serves": False, "exitcode": -9}, {"serves": False, "exitcode": -11}]
)
def test_one_that_was_killed_is_replaced_whatever_it_had_said(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    first: dict[str, Any],
) -> None:
    """It may have answered requests, then died before the parent knew it serves."""
    lives = Lives(monkeypatch, first, {"serves": False, "failure": "later"}, {})

    assert lives.pauses_s(caplog) == [0.001, 0.002]

"""Servers with several processes: each has its own loop, until it exits."""

import fcntl
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from integrations.running import (
    SHUT_DOWN,
    AppClient,
    Command,
    check_end,
    confined,
    serving,
)
from programs import Program, a_free_port

import aioadapt

STARTED = re.compile(r"^process (\d+) has started on (\w+)$", re.MULTILINE)


GUNICORN = "--bind 127.0.0.1:{port} --no-control-socket --workers 2"

HELD = "asgi_app:held_app"

PAIRS = [
    Command("uvicorn", "--port {port} --workers 2", "uvicorn"),
    Command("gunicorn, uvicorn's worker", GUNICORN, "uvicorn_worker"),
    Command("gunicorn, its ASGI worker", f"{GUNICORN} --preload", "gunicorn"),
    # It kills the other workers as soon as one exits, even if they are busy.
    Command("hypercorn", "--bind 127.0.0.1:{port} --workers 2", "hypercorn", HELD),
    Command("granian", "--port {port} --workers 2", "granian"),
]


def default_class() -> str:
    """The loops' class name if no engine is named."""
    has_uring = aioadapt.uring_support().available
    return "UringEventLoop" if has_uring else "EpollEventLoop"


def workers_in(running: Program) -> dict[str, str]:
    """The class name of each process's loop, by process id."""
    return dict(STARTED.findall(running.log))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """During the block no worker that runs ``held_app`` ends."""
    with (folder / "held").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_each_worker_has_a_loop_of_its_own(pair: Command, tmp_path: Path) -> None:
    with (
        a_free_port() as port,
        serving(pair.arguments(port), STARTED.pattern, "auto", tmp_path) as running,
    ):
        running.wait_for(STARTED.pattern)
        workers = workers_in(running)
        with AppClient(port) as client:
            facts = client.facts()
        with held(tmp_path):
            running.process.send_signal(signal.SIGTERM)
            for _ in range(2):
                running.wait_for(SHUT_DOWN)
        running.ended()

    assert list(workers.values()) == [default_class()] * 2, running.log
    assert str(running.process.pid) not in workers
    assert str(facts["pid"]) in workers
    assert facts["started"]
    check_end(running, shut_downs=2)


def test_a_worker_that_is_spawned_has_our_loop_too(
    engine: str, engine_class: str, tmp_path: Path
) -> None:
    """From Python 3.14 on granian does not fork: a worker's target is pickled."""
    # Python imports this file at start-up.
    (tmp_path / "sitecustomize.py").write_text(
        "import multiprocessing\nmultiprocessing.set_start_method('spawn')\n"
    )
    pair = Command("granian", "--port {port}", "granian")

    with (
        a_free_port() as port,
        serving(pair.arguments(port), STARTED.pattern, engine, tmp_path) as running,
    ):
        with AppClient(port) as client:
            assert client.facts()["loop"] == engine_class
        running.end()
    check_end(running)


def everybody_may_read(path: str) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in Path(path).resolve().parents)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
@pytest.mark.skipif(
    not everybody_may_read(os.__file__), reason="this Python is for its owner alone"
)
@pytest.mark.skipif(
    not aioadapt.uring_support().available, reason="io_uring is had by nobody here"
)
def test_gunicorns_worker_chooses_for_the_user_that_it_has_become(
    tmp_path: Path,
) -> None:
    """RLIMIT_MEMLOCK never keeps root from io_uring, but it does other users."""
    pair = Command("gunicorn, its ASGI worker", f"{GUNICORN} --preload", "gunicorn")
    with a_free_port() as port:
        command = [*pair.arguments(port), "--user", "65534", "--group", "65534"]
        arguments = confined(command, memlock_bytes=0)
        with serving(arguments, STARTED.pattern, "auto", tmp_path) as running:
            running.wait_for(STARTED.pattern)
            with AppClient(port) as client:
                assert client.facts()["loop"] == "EpollEventLoop"
            running.end()
    check_end(running, shut_downs=2)


def test_gunicorn_reloads_its_workers(
    engine: str, engine_class: str, tmp_path: Path
) -> None:
    pair = PAIRS[1]
    with (
        a_free_port() as port,
        serving(pair.arguments(port), STARTED.pattern, engine, tmp_path) as running,
    ):
        running.wait_for(STARTED.pattern)
        first = workers_in(running)
        running.process.send_signal(signal.SIGHUP)
        for _ in range(2):
            running.wait_for(SHUT_DOWN)
        with AppClient(port) as client:
            facts = client.facts()
        running.end()

    workers = workers_in(running)
    assert list(workers.values()) == [engine_class] * 4, running.log
    assert str(facts["pid"]) in workers.keys() - first.keys()
    check_end(running, shut_downs=4)

"""A server that cannot run on our loops does not start; most say why in one line."""

import errno
import logging
import shlex
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from integrations.consumers import line_of
from integrations.running import (
    AppClient,
    confined,
    refusal,
    serving,
    started,
    trouble,
)

from aioadapt import ServeError
from aioadapt.integrations import gunicorn as workers
from aioadapt.integrations.requirements import OLDEST, require

GUNICORN = "gunicorn, its ASGI worker"
COMMANDS = ["hypercorn", "granian", "daphne"]
HERE = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            find_spec(name) is None, reason=f"{name} is not installed"
        ),
    )
    for name in COMMANDS
]


def arguments_of(name: str, *more: str) -> list[str]:
    options = ["--no-control-socket", "-b127.0.0.1:0"] if "gunicorn" in name else []
    return [
        *shlex.split(line_of(name).replace("module:app", "asgi_app:app")),
        *options,
        *more,
    ]


def without_io_uring(name: str, *more: str) -> list[str]:
    denied = [("io_uring_setup", errno.EPERM, None)]
    return confined(arguments_of(name, *more), deny=denied)


def one_line_with(words: str, log: str) -> None:
    assert "Traceback" not in log, log
    assert [line for line in log.splitlines() if words in line] != [], log
    assert log.count(words) == 1, log


# -- unknown and unavailable engines


@pytest.mark.parametrize("name", [GUNICORN, *HERE])
def test_an_engine_that_there_is_not(name: str, tmp_path: Path) -> None:
    status, log = refusal(arguments_of(name), "steam", tmp_path)

    one_line_with("there is no engine 'steam' (from $AIOADAPT_ENGINE)", log)
    assert status in (1, 2)


@pytest.mark.parametrize("name", ["gunicorn, uvicorn's worker", GUNICORN, *HERE])
def test_io_uring_where_it_is_forbidden(name: str, tmp_path: Path) -> None:
    """gunicorn fails only in its worker, which may run as another user."""
    status, log = refusal(without_io_uring(name), "uring", tmp_path)

    one_line_with("cannot set up an io_uring", log)
    assert status == (3 if "gunicorn" in name else 1 if name == "granian" else 2)


def test_uvicorn_shows_the_error_with_what_to_do_and_exits(tmp_path: Path) -> None:
    """uvicorn calls our factory, and shows what it raises like any other error."""
    command = without_io_uring("uvicorn", "--port", "0")
    with started(command, "uring", tmp_path) as running:
        assert running.ended() == 1

    [error] = [
        line for line in running.log.splitlines() if "UringUnavailableError: " in line
    ]
    assert "a seccomp filter forbids it" in error
    assert error.endswith("aioadapt.EpollEventLoop works without it")


def test_uvicorn_starts_refused_workers_until_it_is_stopped(tmp_path: Path) -> None:
    command = without_io_uring("uvicorn", "--port", "0", "--workers", "2")
    with started(command, "uring", tmp_path) as running:
        for _ in range(3):  # the third is from a replacement worker
            running.wait_for("UringUnavailableError: ")
        status = running.end()

    assert status == 0, running.log


def test_uvicorn_serves_on_epoll_where_no_engine_was_named(tmp_path: Path) -> None:
    command = without_io_uring("uvicorn", "--port", "0")
    with serving(command, "Uvicorn running on", "auto", tmp_path) as running:
        with AppClient(running.port) as client:
            assert client.facts()["loop"] == "EpollEventLoop"
        running.end()

    assert trouble(running.log) == []


# -- other loops


def test_hypercorn_asked_for_other_loops(tmp_path: Path) -> None:
    arguments = arguments_of("hypercorn", "--worker-class", "uvloop")

    status, log = refusal(arguments, "epoll", tmp_path)

    one_line_with("the worker class 'uvloop' brings its own event loop", log)
    assert status == 2


def test_granian_asked_for_another_loop(tmp_path: Path) -> None:
    arguments = arguments_of("granian", "--loop", "asyncio")

    status, log = refusal(arguments, "epoll", tmp_path)

    one_line_with("--loop asyncio chooses another event loop", log)
    assert status == 1


@pytest.mark.parametrize("asgi_loop", ["auto", "asyncio", "uvloop"])
def test_gunicorn_asked_for_another_loop_is_told_that_it_is_not_used(
    asgi_loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("gunicorn")
    settings = SimpleNamespace(asgi_loop=asgi_loop, threads=1)

    workers.AsgiWorker.check_config(settings, logging.getLogger("gunicorn.error"))

    told = [f"Ignoring asgi_loop '{asgi_loop}'" in text for text in caplog.messages]
    assert told == ([True] if asgi_loop == "uvloop" else [])


def test_twisted_with_a_reactor(tmp_path: Path) -> None:
    pytest.importorskip("twisted")
    program = (
        "import twisted.internet.reactor\n"
        "from aioadapt.integrations import daphne, requirements\n"
        "requirements.as_command(daphne.install)\n"
    )

    status, log = refusal([sys.executable, "-c", program], "epoll", tmp_path)

    one_line_with("Twisted already has a reactor", log)
    assert status == 2


# -- packages


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OLDEST, "no-such-package", "1.2")

    with pytest.raises(ServeError) as caught:
        require("no-such-package")

    assert str(caught.value) == (
        "this needs no-such-package 1.2 or newer, which is not installed; "
        "run pip install --upgrade 'no-such-package>=1.2'"
    )


@pytest.mark.parametrize(
    ("installed", "oldest", "will_do"),
    [
        ("0.18.0", "0.18", True),
        ("0.18", "0.18.0", True),
        ("0.17.9", "0.18", False),
        ("0.9", "0.10", False),
        ("27.0.1", "24.0", True),
        ("1.0rc1", "1.0", True),
        ("1.0.post1", "1.0", True),
        ("2!0.1", "1.0", True),
        ("23.0.0", "24.0", False),
    ],
)
def test_what_is_old_enough(
    installed: str, oldest: str, will_do: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OLDEST, "package", oldest)
    monkeypatch.setattr(metadata, "version", lambda name: installed)

    if will_do:
        require("package")
    else:
        with pytest.raises(ServeError, match=f"and {installed} is installed"):
            require("package")


@pytest.mark.parametrize(
    ("worker", "package"),
    [
        ("AsgiWorker", "gunicorn"),
        ("UvicornWorker", "uvicorn-worker"),
        ("AiohttpWorker", "aiohttp"),
    ],
)
def test_a_worker_whose_package_is_too_old(
    worker: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {**OLDEST, package: "0.0.1"}
    monkeypatch.setattr(metadata, "version", versions.__getitem__)

    # gunicorn prints a RuntimeError as one line.
    with pytest.raises(RuntimeError) as caught:
        getattr(workers, worker)

    assert isinstance(caught.value, ServeError)
    assert f"this needs {package} {OLDEST[package]} or newer" in str(caught.value)


@pytest.mark.parametrize("name", [GUNICORN, *COMMANDS])
def test_a_server_that_is_too_old(name: str, tmp_path: Path) -> None:
    # Python imports this file at start-up.
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib import metadata\nmetadata.version = lambda name: '0.0.1'\n"
    )

    status, log = refusal(arguments_of(name), "epoll", tmp_path)

    one_line_with("or newer, and 0.0.1 is installed", log)
    assert status == (1 if name == GUNICORN else 2)

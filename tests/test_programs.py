"""Errors that ``programs`` and ``http_client`` detect for every test."""

import os
import signal
import socket
import sys
from threading import Thread

import programs
import pytest
from http_client import Client
from programs import session_of, started, wait_until_none_is_left

TWO_PROCESSES = """
import os, signal
os.fork()
print(os.getpid(), flush=True)
signal.pause()
"""


def test_what_a_program_has_started_is_killed_with_it() -> None:
    with started(sys.executable, "-c", TWO_PROCESSES) as program:
        pids = {int(program.wait_for(r"\d+")[0]) for _ in range(2)}
        assert {*session_of(program.process.pid)} == pids

    wait_until_none_is_left(program.process.pid)


def test_what_outlives_its_program_fails_the_test_and_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        pytest.raises(AssertionError, match=r"process \d+ outlives the program"),
        started(sys.executable, "-c", TWO_PROCESSES) as program,
    ):
        for _ in range(2):
            program.wait_for(r"\d+")
        os.kill(program.process.pid, signal.SIGTERM)
        program.process.wait()
        monkeypatch.setattr(programs, "WITHIN_S", 0.1)

    monkeypatch.undo()
    wait_until_none_is_left(program.process.pid)


def test_words_that_a_program_does_not_say_are_shown_with_what_it_said() -> None:
    with (
        pytest.raises(AssertionError, match=r"no 'ready' in:\nno room"),
        started(sys.executable, "-c", "print('no room')") as program,
    ):
        program.wait_for("ready")


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n", "no"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
            "closes",
        ),
    ],
)
def test_a_client_wants_a_200_and_its_connection_kept(head: bytes, error: str) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(head + b"no")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = Thread(target=answer)
        answering.start()
        with (
            Client(listener.getsockname()) as client,
            pytest.raises(AssertionError, match=error),
        ):
            client.get()
        answering.join()

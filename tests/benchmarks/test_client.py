"""The client believes nothing: each test is a server that errs in one way."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable

import pytest

from benchmarks.build import program

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None, reason="the client is compiled when it is needed"
)

Answer = Callable[[bytes, int], bytes]


def run_client(
    server: socket.socket, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            program("echo_client"),
            f"--port={server.getsockname()[1]}",
            "--seconds=0.01",
            "--warmup-seconds=0",
            *arguments,
        ],
        input="\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def outcome(answer: Answer, *arguments: str) -> list[dict[str, object]]:
    """What the client says of a server whose n-th answer is ``answer(request, n)``.

    One connection; the answer ``b""`` closes it.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            number = 0
            while request := connection.recv(65536):
                reply = answer(request, number)
                if not reply:
                    return
                connection.sendall(reply)
                number += 1

    thread = threading.Thread(target=serve, daemon=True)
    with listener:
        thread.start()
        done = run_client(listener, *arguments)
        thread.join()
    assert done.returncode == (1 if '"error"' in done.stdout else 0), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def complaint(answer: Answer, *arguments: str) -> object:
    return outcome(answer, *arguments)[-1].get("message")


def test_a_right_echo_is_counted() -> None:
    ready, done = outcome(lambda request, number: request)

    assert ready["event"] == "ready"
    assert done["event"] == "done"
    assert isinstance(done["operations"], int)
    assert done["operations"] > 0
    assert done["operations"] == done["least_per_connection"]


def test_one_wrong_byte_ends_the_run() -> None:
    assert "wrong bytes" in str(
        complaint(lambda request, number: request[:-1] + bytes([request[-1] ^ 1]))
    )


def test_the_answer_to_an_earlier_request_is_a_wrong_answer() -> None:
    """Every request has a number, so a late or a swapped answer shows."""
    first: list[bytes] = []

    def stale(request: bytes, number: int) -> bytes:
        first.append(request)
        return first[0]

    assert "wrong bytes" in str(complaint(stale))


def test_a_byte_too_many_ends_the_run() -> None:
    assert "longer than 64 bytes" in str(
        complaint(lambda request, number: request + b"!")
    )


def test_a_closed_connection_ends_the_run() -> None:
    assert "closed" in str(complaint(lambda request, number: b""))


def test_an_answer_that_stops_halfway_ends_the_run_in_time() -> None:
    def half(request: bytes, number: int) -> bytes:
        return request[:10]

    assert "no answer" in str(complaint(half, "--patience-seconds=0.1"))


def test_a_fixed_answer_is_compared_whole() -> None:
    fixed = ["--request=GET / HTTP/1.1\r\n\r\n", "--answer=HTTP/1.1 200 OK\r\n\r\n"]

    right = outcome(lambda request, number: b"HTTP/1.1 200 OK\r\n\r\n", *fixed)
    wrong = complaint(lambda request, number: b"HTTP/1.1 500 OK\r\n\r\n", *fixed)

    assert right[-1]["event"] == "done"
    assert "wrong bytes" in str(wrong)


def outcome_of_datagrams(answer: Answer, *arguments: str) -> list[dict[str, object]]:
    """The same over UDP; the answer ``b""`` is none at all."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            number = 0
            while True:
                request, address = server.recvfrom(65536)
                if request == b"end":
                    return
                if reply := answer(request, number):
                    server.sendto(reply, address)
                number += 1

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        done = run_client(server, "--datagrams", *arguments)
        server.sendto(b"end", server.getsockname())
        thread.join()
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_right_echo_of_datagrams_is_counted() -> None:
    ready, done = outcome_of_datagrams(lambda request, number: request)

    assert ready["event"] == "ready"
    assert isinstance(done["operations"], int)
    assert done["operations"] > 0


def test_a_datagram_that_is_lost_ends_the_run_in_time() -> None:
    said = outcome_of_datagrams(
        lambda request, number: b"" if number == 3 else request,
        "--patience-seconds=0.1",
        "--seconds=20",  # long enough for a fourth datagram, however busy the machine
    )
    assert "no answer" in str(said[-1]["message"])

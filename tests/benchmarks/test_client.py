"""The benchmark's client detects faulty servers: one kind of fault in each test."""

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from programs import Ended, run_python

ROOT = Path(__file__).parents[2]

Answer = Callable[[bytes, int], bytes]

WARMUP = {"connections": 1, "operations": 1}
WINDOW = {"connections": 1, "seconds": 0.01}


def run_client(
    server: socket.socket, *arguments: str, window: dict[str, float]
) -> Ended:
    port = f"--port={server.getsockname()[1]}"
    orders = "".join(json.dumps(order) + "\n" for order in (WARMUP, window))
    load = "-m", "benchmarks.load"
    return run_python(*load, port, "--most=1", *arguments, cwd=ROOT, stdin=orders)


def outcome(answer: Answer, *arguments: str) -> list[dict[str, object]]:
    """The client's report on a server whose n-th answer is ``answer(request, n)``.

    It uses one connection, which the answer ``b""`` closes.
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
        done = run_client(listener, *(arguments or ["--echo=64"]), window=WINDOW)
        thread.join()
    assert done.status == (1 if '"error"' in done.out else 0), done.err
    return [json.loads(line) for line in done.out.splitlines()]


def complaint(answer: Answer, *arguments: str) -> object:
    return outcome(answer, *arguments)[-1].get("error")


def test_a_right_echo_is_counted() -> None:
    ready, done = outcome(lambda request, number: request)

    assert ready["requests"] == 1
    assert isinstance(ready["first_answers_s"], float)
    assert ready["first_answers_s"] > 0
    assert isinstance(done["requests"], int)
    assert done["requests"] > 0
    assert done["requests"] == done["least_per_connection"]


def test_one_wrong_byte_ends_the_run() -> None:
    assert complaint(
        lambda request, number: request[:-1] + bytes([request[-1] ^ 1])
    ) == ("wrong byte at offset 63 of a response")


def test_the_answer_to_an_earlier_request_is_a_wrong_answer() -> None:
    """Every request has a number, so late or swapped answers are detected."""
    first: list[bytes] = []

    def stale(request: bytes, number: int) -> bytes:
        first.append(request)
        return first[0]

    assert "wrong byte at offset 0" in str(complaint(stale))


def test_a_byte_too_many_ends_the_run() -> None:
    assert "longer than 64 bytes" in str(
        complaint(lambda request, number: request + b"!")
    )


def test_a_closed_connection_ends_the_run() -> None:
    assert "closed" in str(complaint(lambda request, number: b""))


def test_an_answer_that_stops_halfway_ends_the_run_in_time() -> None:
    def half(request: bytes, number: int) -> bytes:
        return request[:10]

    assert "no response" in str(complaint(half, "--echo=64", "--patience-s=0.1"))


def test_a_fixed_answer_is_compared_whole() -> None:
    fixed = ["--request=GET / HTTP/1.1\r\n\r\n", "--answer=HTTP/1.1 200 OK\r\n\r\n"]

    right = outcome(lambda request, number: b"HTTP/1.1 200 OK\r\n\r\n", *fixed)
    wrong = complaint(lambda request, number: b"HTTP/1.1 500 OK\r\n\r\n", *fixed)

    assert right[-1]["requests"]
    assert wrong == "wrong byte at offset 9 of a response"


def outcome_of_datagrams(
    answer: Answer, *arguments: str, window: dict[str, float] = WINDOW
) -> list[dict[str, object]]:
    """The same over UDP; ``b""`` means no answer."""
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
        done = run_client(server, "--udp-echo=64", *arguments, window=window)
        server.sendto(b"end", server.getsockname())
        thread.join()
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_right_echo_of_datagrams_is_counted() -> None:
    ready, done = outcome_of_datagrams(lambda request, number: request)

    assert ready["requests"] == 1
    assert isinstance(done["requests"], int)
    assert done["requests"] > 0


def test_a_datagram_that_is_lost_ends_the_run_in_time() -> None:
    said = outcome_of_datagrams(
        lambda request, number: b"" if number == 3 else request,
        "--patience-s=0.1",
        # Long enough for a fourth datagram, even on a busy machine.
        window={"connections": 1, "seconds": 20},
    )
    assert "no response" in str(said[-1]["error"])


def test_a_datagram_of_another_size_ends_the_run() -> None:
    said = outcome_of_datagrams(lambda request, number: request[:-1])

    assert said[-1]["error"] == "a datagram of 63 bytes, not 64"

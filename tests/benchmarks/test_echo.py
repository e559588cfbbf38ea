"""The load client's echo mode, and its runs of a fixed number of operations.

``tests/benchmarks/test_client.py`` tests the errors it finds in an echo.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from measure.load_server import LoadServer

from aioadapt._testing.echo import Echo, Fixed
from aioadapt.measure.crowd import Crowd
from aioadapt.measure.paths import Paths
from aioadapt.measure.usage import ExperimentError
from aioadapt.measure.wire import pattern
from aioadapt.measure.workload import Workload

LARGE_BYTES = 16 << 20  # more than the kernel buffers for one connection

with_every_wait = pytest.mark.parametrize(
    ("scan", "spin"),
    [(True, True), (False, True), (False, False)],
    ids=["scan", "epoll, spinning", "epoll, sleeping"],
)


def echo(connection: socket.socket) -> None:
    while data := connection.recv(1 << 20):
        connection.sendall(data)


@contextmanager
def serving(serve: Callable[[socket.socket], None] = echo) -> Iterator[int]:
    """The port of a server with a thread for each connection."""
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection:
            serve(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # the listener was shut down
                return
            threads.append(threading.Thread(target=one, args=(connection,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


@contextmanager
def crowd_at(
    port: int, workload: Workload, *, scan: bool = False, patience_s: float = 10.0
) -> Iterator[Crowd]:
    crowd = Crowd("127.0.0.1", port, workload, most=8, scan=scan, patience_s=patience_s)
    try:
        yield crowd
    finally:
        crowd.close()


@with_every_wait
def test_exactly_so_many_operations_are_done_and_spread_evenly(
    scan: bool, spin: bool
) -> None:
    with serving() as port, crowd_at(port, Echo(64), scan=scan) as crowd:
        first = crowd.run(connections=4, operations=4, spin=spin)
        more = crowd.run(connections=4, operations=41, spin=spin)
        few = crowd.run(connections=4, operations=3, spin=spin)

    def spread(counted: dict[str, int]) -> tuple[int, ...]:
        names = ("asked", "requests", "least_per_connection", "most_per_connection")
        return tuple(counted[name] for name in names)

    assert spread(first) == (4, 4, 1, 1)
    assert spread(more) == (41, 41, 10, 11)
    assert spread(few) == (3, 3, 0, 1)
    assert (first["opened"], more["opened"], few["opened"]) == (4, 0, 0)
    assert 0 < first["first_answers_s"] < 10
    assert few["first_answers_s"] is None


@with_every_wait
def test_a_request_that_the_kernel_takes_in_parts_is_sent_whole(
    scan: bool, spin: bool
) -> None:
    """The server echoes as it reads, so the client must read while it sends."""
    with serving() as port, crowd_at(port, Echo(LARGE_BYTES), scan=scan) as crowd:
        counted = crowd.run(connections=2, operations=4, spin=spin)

    assert counted["requests"] == 4
    assert counted["bytes_in"] == 4 * LARGE_BYTES


@pytest.mark.parametrize("size", [1, 7, 8, 9, 64, 65_507])
def test_every_size_is_echoed_over_tcp_and_udp(size: int) -> None:
    with serving() as port, crowd_at(port, Echo(size)) as crowd:
        over_tcp = crowd.run(connections=2, operations=20)
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            for _ in range(20):
                server.sendto(*server.recvfrom(65536))

        thread = threading.Thread(target=serve)
        thread.start()
        workload = Echo(size, datagrams=True)
        with crowd_at(server.getsockname()[1], workload, scan=True) as crowd:
            over_udp = crowd.run(connections=2, operations=20)
        thread.join()

    assert over_tcp["requests"] == over_udp["requests"] == 20
    assert over_tcp["bytes_in"] == over_udp["bytes_in"] == 20 * size


@with_every_wait
def test_a_connection_that_ends_between_two_runs_is_an_error(
    scan: bool, spin: bool
) -> None:
    closed = threading.Event()

    def once(connection: socket.socket) -> None:
        connection.sendall(connection.recv(64))
        connection.close()
        closed.set()

    with serving(once) as port, crowd_at(port, Echo(64), scan=scan) as crowd:
        crowd.run(connections=1, operations=1, spin=spin)
        closed.wait()
        with pytest.raises(ExperimentError, match="the server closed a connection"):
            crowd.run(connections=1, operations=1, spin=spin)
        with pytest.raises(ValueError, match="is closed"):
            crowd.run(connections=1, operations=1, spin=spin)


def test_a_response_to_half_a_request_is_an_error() -> None:
    seen = threading.Event()

    def hasty(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"done")
        seen.wait()

    workload = Fixed(b"x" * LARGE_BYTES, b"done")
    with serving(hasty) as port, crowd_at(port, workload) as crowd:
        with pytest.raises(ExperimentError, match="before its request was sent"):
            crowd.run(connections=1, operations=1)
        seen.set()


def test_bytes_that_nobody_asked_for_are_an_error() -> None:
    answered, sent = threading.Event(), threading.Event()

    def talkative(connection: socket.socket) -> None:
        connection.sendall(connection.recv(64))
        answered.wait()
        connection.sendall(b"more")
        sent.set()

    with serving(talkative) as port, crowd_at(port, Echo(64)) as crowd:
        crowd.run(connections=1, operations=1)
        answered.set()
        sent.wait()
        with pytest.raises(ExperimentError, match="nobody asked for"):
            crowd.run(connections=1, operations=1)


@pytest.mark.parametrize("workload", [Echo(64), Paths(pattern())], ids=["echo", "HTTP"])
def test_operations_do_not_wait_for_a_server_that_is_not_there(
    workload: Workload,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        crowd_at(port, workload) as crowd,
        pytest.raises(ExperimentError, match="cannot connect: Connection refused"),
    ):
        crowd.run(connections=1, operations=1)


def test_exactly_so_many_http_requests_are_made() -> None:
    with LoadServer() as server, crowd_at(server.port, Paths(pattern())) as crowd:
        plain = crowd.run(connections=4, operations=50, spin=False)
        churning = crowd.run(
            connections=4, operations=50, requests_per_connection=3, spin=False
        )
        thinking = crowd.run(connections=4, operations=10, think_s=0.01, spin=False)

    assert (plain["asked"], plain["requests"]) == (50, 50)
    assert (churning["asked"], churning["requests"]) == (50, 50)
    assert churning["closed"] == 16  # twelve or thirteen requests on each of the four
    assert (thinking["asked"], thinking["requests"]) == (10, 10)


def test_orders_that_cannot_be_carried_out_are_refused() -> None:
    with serving() as port, crowd_at(port, Echo(64), scan=True) as crowd:
        with pytest.raises(ValueError, match="either seconds or a number"):
            crowd.run(connections=1)
        with pytest.raises(ValueError, match="either seconds or a number"):
            crowd.run(connections=1, seconds=1.0, operations=1)
        with pytest.raises(ValueError, match="need a connection"):
            crowd.run(connections=0, operations=1)
        with pytest.raises(ValueError, match="cannot sleep"):
            crowd.run(connections=1, operations=1, spin=False)
        with pytest.raises(TypeError, match="body_bytes"):
            crowd.run(connections=1, operations=1, body_bytes=100)
    with pytest.raises(ValueError, match="at least one byte"):
        Echo(0)
    with pytest.raises(ValueError, match="at most 65,507"):
        Echo(65_508, datagrams=True)
    with pytest.raises(ValueError, match="at least one byte"):
        Fixed(b"", b"x")

"""uvicorn, unchanged, on each loop: in this process, and as the command it is."""

import asyncio
import contextlib
import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from loops import Run, in_words

from .app import App

BODY = bytes(range(256)) * 4096 * 3  # three mebibytes


@pytest.fixture(params=["h11", "httptools"])
def parser(request: pytest.FixtureRequest) -> str:
    parser: str = request.param
    return parser


@asynccontextmanager
async def uvicorn_serving(
    app: App, parser: str, **options: Any
) -> AsyncIterator[tuple[str, int]]:
    config = uvicorn.Config(
        app, http=parser, lifespan="on", log_config=None, ws="none", **options
    )
    server = uvicorn.Server(config)
    # The test process keeps its own handling of signals.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    # asyncio switches Nagle's algorithm off only where the protocol is named.
    sock = socket.socket(proto=socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    serving = asyncio.ensure_future(server.serve([sock]))
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0)
    try:
        yield sock.getsockname()
    finally:
        server.should_exit = True
        await serving
        sock.close()


def in_a_thread(
    address: tuple[str, int], what: Callable[[http.client.HTTPConnection], None]
) -> asyncio.Future[None]:
    """Runs a blocking client against the server of this loop."""

    def client() -> None:
        connection = http.client.HTTPConnection(*address, timeout=15)
        try:
            what(connection)
        finally:
            connection.close()

    return asyncio.ensure_future(asyncio.to_thread(client))


def get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 200
    return response.read()


def post(connection: http.client.HTTPConnection, path: str, body: Any) -> bytes:
    connection.request("POST", path, body, encode_chunked=not isinstance(body, bytes))
    response = connection.getresponse()
    assert response.status == 200
    return response.read()


def test_the_application_lives_from_start_to_shutdown(run: Run, parser: str) -> None:
    app = App()

    async def main() -> None:
        async with uvicorn_serving(app, parser):
            assert app.life == ["lifespan.startup"]
        assert app.life == ["lifespan.startup", "lifespan.shutdown"]

    run(main())


def test_one_connection_serves_many_requests(run: Run, parser: str) -> None:
    def client(connection: http.client.HTTPConnection) -> None:
        connection.connect()
        sock = connection.sock
        for number in range(200):
            assert get(connection, f"/{number}") == b"GET /%d" % number
            assert connection.sock is sock

    async def main() -> None:
        async with uvicorn_serving(App(), parser) as address:
            await in_a_thread(address, client)

    run(main())


def test_big_bodies_go_both_ways(run: Run, parser: str) -> None:
    def client(connection: http.client.HTTPConnection) -> None:
        digest = hashlib.sha256(BODY).hexdigest().encode()
        assert post(connection, "/digest", BODY) == digest
        assert get(connection, "/bytes/5000000") == bytes(5_000_000)
        assert post(connection, "/echo", BODY) == BODY
        pieces = (BODY[start : start + 10_007] for start in range(0, 10**6, 10_007))
        assert post(connection, "/echo", pieces) == BODY[: 10_007 * 100]

    async def main() -> None:
        async with uvicorn_serving(App(), parser) as address:
            await in_a_thread(address, client)

    run(main())


def test_pipelined_requests_are_answered_in_order(run: Run, parser: str) -> None:
    def client(connection: http.client.HTTPConnection) -> None:
        connection.connect()
        sock = connection.sock
        requests = [
            b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(20)
        ]
        requests[-1] = requests[-1].replace(
            b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"
        )
        sock.sendall(b"".join(requests))
        answers = bytearray()
        while more := sock.recv(65536):
            answers += more
        at = [answers.index(b"GET /%d" % number) for number in range(20)]
        assert at == sorted(at)
        assert answers.count(b"HTTP/1.1 200") == 20

    async def main() -> None:
        async with uvicorn_serving(App(), parser) as address:
            await in_a_thread(address, client)

    run(main())


def test_a_streamed_response_arrives_in_order(run: Run, parser: str) -> None:
    def client(connection: http.client.HTTPConnection) -> None:
        expected = b"".join(b"%d;" % number for number in range(500))
        assert get(connection, "/stream/500") == expected
        assert get(connection, "/again") == b"GET /again"

    async def main() -> None:
        async with uvicorn_serving(App(), parser) as address:
            await in_a_thread(address, client)

    run(main())


def test_the_application_hears_when_its_client_leaves(run: Run, parser: str) -> None:
    def client(connection: http.client.HTTPConnection) -> None:
        connection.request("GET", "/wait")
        assert connection.getresponse().read(1) == b"x"

    async def main() -> None:
        app = App()
        async with uvicorn_serving(app, parser) as address:
            await in_a_thread(address, client)
            await app.somebody_left.wait()
            assert app.left == 1

    run(main())


def test_a_failing_application_answers_500_and_the_server_goes_on(
    run: Run, parser: str
) -> None:
    def client(connection: http.client.HTTPConnection) -> None:
        connection.request("GET", "/fail")
        assert connection.getresponse().status == 500

    def next_client(connection: http.client.HTTPConnection) -> None:
        assert get(connection, "/next") == b"GET /next"

    async def main() -> None:
        async with uvicorn_serving(App(), parser) as address:
            await in_a_thread(address, client)
            await in_a_thread(address, next_client)

    run(main())


def test_fifty_clients_at_once(run: Run, parser: str) -> None:
    async def client(address: tuple[str, int], name: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        for number in range(20):
            path = b"/%d/%d" % (name, number)
            writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(4 + len(path)) == b"GET " + path
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with uvicorn_serving(App(), parser) as address:
            await asyncio.gather(*(client(address, name) for name in range(50)))

    run(main())


def test_idle_connections_are_closed_at_shutdown(
    loop: AbstractEventLoop, run: Run, parser: str
) -> None:
    async def main() -> None:
        async with uvicorn_serving(App(), parser) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"GET /")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    run(main())


def factory_in_words(loop_kind: str) -> str:
    """uvicorn takes ``module:factory``; ours is the one users are told of."""
    if loop_kind == "asyncio":
        return in_words(loop_kind)
    return "aioadapt:new_event_loop"


def test_the_uvicorn_command_serves_and_ends_on_sigterm(
    loop_kind: str, parser: str
) -> None:
    # The command is given a listening socket: no port has to be guessed.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        host, port = listener.getsockname()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "app:app"),
                *("--fd", str(listener.fileno())),
                *("--http", parser),
                *("--loop", factory_in_words(loop_kind)),
            ],
            cwd=Path(__file__).parent,
            env={**os.environ, "AIOADAPT_ENGINE": loop_kind},
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        connection = http.client.HTTPConnection(host, port, timeout=15)
        for number in range(20):
            assert get(connection, f"/{number}") == b"GET /%d" % number
        assert post(connection, "/echo", BODY) == BODY
        connection.close()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=15)
    finally:
        process.kill()
        process.wait()
    assert "Finished server process" in log
    assert "Traceback" not in log
    assert process.returncode in (0, -signal.SIGTERM)

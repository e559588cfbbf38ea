"""uvicorn, unchanged, on each loop: in this process, and as a command."""

import asyncio
import hashlib
import signal
import socket
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable
from pathlib import Path

import pytest
from http_client import Client
from loops import in_words
from programs import started
from uvicorn_server import Address, served

from .app import App

BODY = bytes(range(256)) * 4096 * 3  # three mebibytes


@pytest.fixture(params=["h11", "httptools"])
def parser(request: pytest.FixtureRequest) -> str:
    parser: str = request.param
    return parser


async def in_a_thread(address: Address, what: Callable[[Client], None]) -> None:
    """Runs a blocking client against a server on this loop."""

    def client() -> None:
        with Client(address) as connection:
            what(connection)

    await asyncio.to_thread(client)


async def serve(parser: str, *clients: Callable[[Client], None]) -> None:
    """Serve the clients one after the other, each on its own connection."""
    async with served(App(), http=parser) as address:
        for client in clients:
            await in_a_thread(address, client)


async def test_the_application_lives_from_start_to_shutdown(parser: str) -> None:
    app = App()

    async with served(app, http=parser):
        assert app.life == ["lifespan.startup"]
    assert app.life == ["lifespan.startup", "lifespan.shutdown"]


async def test_one_connection_serves_many_requests(parser: str) -> None:
    def client(connection: Client) -> None:
        for number in range(200):
            assert connection.get(f"/{number}") == f"GET /{number}"

    await serve(parser, client)


async def test_big_bodies_go_both_ways(parser: str) -> None:
    def client(connection: Client) -> None:
        digest = hashlib.sha256(BODY).hexdigest().encode()
        assert connection.post("/digest", BODY) == digest
        assert connection.ask("GET", "/bytes/5000000") == bytes(5_000_000)
        assert connection.post("/echo", BODY) == BODY
        pieces = (BODY[start : start + 10_007] for start in range(0, 10**6, 10_007))
        assert connection.post("/echo", pieces) == BODY[: 10_007 * 100]

    await serve(parser, client)


async def test_pipelined_requests_are_answered_in_order(parser: str) -> None:
    def client(connection: Client) -> None:
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

    await serve(parser, client)


async def test_a_streamed_response_arrives_in_order(parser: str) -> None:
    def client(connection: Client) -> None:
        expected = "".join(f"{number};" for number in range(500))
        assert connection.get("/stream/500") == expected
        assert connection.get("/again") == "GET /again"

    await serve(parser, client)


async def test_the_application_hears_when_its_client_leaves(parser: str) -> None:
    def client(connection: Client) -> None:
        connection.request("GET", "/wait")
        assert connection.getresponse().read(1) == b"x"

    app = App()
    async with served(app, http=parser) as address:
        await in_a_thread(address, client)
        await app.somebody_left.wait()
        assert app.left == 1


async def test_a_failing_application_answers_500_and_the_server_goes_on(
    parser: str,
) -> None:
    def client(connection: Client) -> None:
        connection.request("GET", "/fail")
        assert connection.getresponse().status == 500

    def next_client(connection: Client) -> None:
        assert connection.get("/next") == "GET /next"

    await serve(parser, client, next_client)


async def test_fifty_clients_at_once(parser: str) -> None:
    async def client(address: Address, name: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        for number in range(20):
            path = b"/%d/%d" % (name, number)
            writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(4 + len(path)) == b"GET " + path
        writer.close()
        await writer.wait_closed()

    async with served(App(), http=parser) as address:
        await asyncio.gather(*(client(address, name) for name in range(50)))


async def test_idle_connections_are_closed_at_shutdown(
    loop: AbstractEventLoop, parser: str
) -> None:
    async with served(App(), http=parser) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"GET /")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


def factory_in_words(loop_kind: str) -> str:
    """The ``module:factory`` for uvicorn; for our loops, the documented one."""
    if loop_kind == "asyncio":
        return in_words(loop_kind)
    return "aioadapt:new_event_loop"


def test_the_uvicorn_command_serves_and_ends_on_sigterm(
    loop_kind: str, parser: str
) -> None:
    # The command gets a listening socket, so no port has to be guessed.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, address = listener.fileno(), listener.getsockname()
        command = [sys.executable, "-m", "uvicorn", "app:app", "--http", parser]
        command += ["--fd", str(fd), "--loop", factory_in_words(loop_kind)]
        environ = {"AIOADAPT_ENGINE": loop_kind}
        here = Path(__file__).parent
        with started(*command, cwd=here, environ=environ, pass_fds=[fd]) as program:
            with Client(address) as client:
                for number in range(20):
                    assert client.get(f"/{number}") == f"GET /{number}"
                assert client.post("/echo", BODY) == BODY
            assert program.end() in (0, -signal.SIGTERM)
    assert "Finished server process" in program.err
    assert "Traceback" not in program.err

"""websockets' server and client, unchanged, both on the loop under test."""

import asyncio
import ssl
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from integrations.proof import assert_carried, running_engine
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

BIG = bytes(range(256)) * 4096 * 8  # eight mebibytes


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def port_of(server: Server) -> int:
    (sock,) = server.sockets
    port: int = sock.getsockname()[1]
    return port


@asynccontextmanager
async def echoing(**options: Any) -> AsyncIterator[str]:
    """The address of a server that echoes messages of any size."""
    scheme = "wss" if "ssl" in options else "ws"
    async with serve(echo, "127.0.0.1", 0, max_size=None, **options) as server:
        yield f"{scheme}://127.0.0.1:{port_of(server)}"


@pytest.mark.ours_only
@pytest.mark.consumer("websockets")
def test_the_line_of_the_page_runs_it(
    follow: Callable[..., Any], loop_kind: str
) -> None:
    async def main() -> str:
        async with echoing() as address, connect(address) as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"
        return running_engine()

    assert follow(main=main) == loop_kind


async def test_messages_come_back_in_order(loop: AbstractEventLoop) -> None:
    async def client(address: str, name: int) -> None:
        async with connect(address) as connection:
            for number in range(50):
                await connection.send(f"{name}/{number}")
                assert await connection.recv() == f"{name}/{number}"

    async with echoing() as address:
        await asyncio.gather(*(client(address, name) for name in range(20)))
    assert_carried(loop, 20 * 50 * 2 * len("0/0"))


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_a_big_message_comes_back_whole(
    loop: AbstractEventLoop, compression: str | None
) -> None:
    async with (
        echoing(compression=compression) as address,
        connect(address, max_size=None, compression=compression) as connection,
    ):
        await connection.send(BIG)
        assert await connection.recv() == BIG
    if compression is None:
        assert_carried(loop, 2 * len(BIG))


async def test_a_big_message_crosses_tls(
    loop: AbstractEventLoop,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    options: dict[str, Any] = {"max_size": None, "compression": None}

    async with (
        echoing(ssl=server_context, compression=None) as address,
        connect(address, ssl=client_context, **options) as connection,
    ):
        await connection.send(BIG)
        assert await connection.recv() == BIG
    assert_carried(loop, 2 * len(BIG))


async def test_a_message_is_sent_and_read_in_fragments() -> None:
    pieces = [BIG[start : start + 65_536] for start in range(0, 1_000_000, 65_536)]

    async with (
        echoing() as address,
        connect(address, max_size=None) as connection,
    ):
        await connection.send(iter(pieces))
        assert b"".join([piece async for piece in _streamed(connection)]) == (
            b"".join(pieces)
        )


async def _streamed(connection: ClientConnection) -> AsyncIterator[bytes]:
    async for piece in connection.recv_streaming(decode=False):
        yield piece


async def test_pings_are_answered_from_both_ends() -> None:
    served = asyncio.get_running_loop().create_future()

    async def ping_back(connection: ServerConnection) -> None:
        latency_s = await (await connection.ping())
        served.set_result(latency_s)
        await connection.wait_closed()

    async with (
        serve(ping_back, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}") as connection,
    ):
        first: Any = await connection.ping(b"first")
        second = await connection.ping(b"second")
        assert await second >= 0
        assert first.done()  # a pong also answers earlier pings
        assert await served >= 0


async def test_the_closing_code_and_reason_reach_the_other_end() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def wait(connection: ServerConnection) -> None:
        try:
            await connection.recv()
        except ConnectionClosedError as error:
            heard.set_result((error.rcvd.code, error.rcvd.reason))  # type: ignore[union-attr]

    async with serve(wait, "127.0.0.1", 0) as server:
        connection = await connect(f"ws://127.0.0.1:{port_of(server)}")
        await connection.close(4001, "enough")
        assert await heard == (4001, "enough")
        assert connection.close_code == 4001
        with pytest.raises(ConnectionClosedError):
            await connection.send("more")


async def test_a_server_that_closes_says_going_away() -> None:
    server = await serve(echo, "127.0.0.1", 0)
    connection = await connect(f"ws://127.0.0.1:{port_of(server)}")
    await connection.send("hello")
    assert await connection.recv() == "hello"
    server.close()
    with pytest.raises(ConnectionClosedOK):
        await connection.recv()
    assert connection.close_code == 1001
    await server.wait_closed()


async def test_a_client_that_vanishes_is_noticed() -> None:
    code = asyncio.get_running_loop().create_future()

    async def wait(connection: ServerConnection) -> None:
        await connection.wait_closed()
        code.set_result(connection.close_code)

    async with serve(wait, "127.0.0.1", 0) as server:
        connection = await connect(f"ws://127.0.0.1:{port_of(server)}")
        connection.transport.abort()
        assert await code == 1006
        await connection.wait_closed()


async def test_a_broadcast_reaches_everybody() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        address = f"ws://127.0.0.1:{port_of(server)}"
        clients = [await connect(address) for _ in range(50)]
        for number in range(10):
            broadcast(server.connections, f"news {number}")
        for client in clients:
            for number in range(10):
                assert await client.recv() == f"news {number}"
        await asyncio.gather(*(client.close() for client in clients))

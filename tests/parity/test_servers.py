"""Servers: accepting, stopping, waiting, and ports that are free again."""

import asyncio
import errno
import resource
import socket
import sys
from asyncio import AbstractEventLoop, trsock
from collections.abc import Iterator
from typing import Any

import pytest
from loops import Run

from .peers import Peer, serving
from .protocols import Echo, Recorder
from .test_tcp_echo import everybody_has_left


async def test_a_server_serves_at_once_unless_told_otherwise(
    loop: AbstractEventLoop,
) -> None:
    async with serving(Echo) as place:
        assert place.server.is_serving()
    server = await loop.create_server(Recorder, "127.0.0.1", 0, start_serving=False)
    assert not server.is_serving()
    await server.start_serving()
    await server.start_serving()
    assert server.is_serving()
    server.close()
    assert not server.is_serving()
    await server.wait_closed()


async def test_a_closed_server_has_no_sockets(loop: AbstractEventLoop) -> None:
    server = await loop.create_server(Recorder, "127.0.0.1", 0)
    (sock,) = server.sockets
    assert isinstance(sock, trsock.TransportSocket)
    assert sock.getsockname()[1] > 0
    server.close()
    assert server.sockets == ()
    server.close()
    await server.wait_closed()
    assert sock.fileno() == -1


async def test_a_server_as_a_context_closes_itself(loop: AbstractEventLoop) -> None:
    async with await loop.create_server(Recorder, "127.0.0.1", 0) as server:
        assert server.is_serving()
    assert server.sockets == ()


async def test_the_port_is_free_when_close_has_returned(
    loop: AbstractEventLoop,
) -> None:
    address = ("127.0.0.1", 0)
    for _ in range(10):
        server = await loop.create_server(Recorder, *address)
        address = server.sockets[0].getsockname()
        server.close()
        await server.wait_closed()
        # Even with SO_REUSEADDR, listen() fails if anyone is still listening.
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()


async def test_a_closed_server_refuses_connections(loop: AbstractEventLoop) -> None:
    async with serving(Recorder) as place:
        address = place.address
    with socket.socket() as sock:
        assert sock.connect_ex(address) == errno.ECONNREFUSED


def test_the_port_is_free_when_the_loop_is_closed_under_the_server(
    loop: AbstractEventLoop, run: Run
) -> None:
    async def main() -> asyncio.Server:
        return await loop.create_server(Recorder, "127.0.0.1", 0)

    server = run(main())
    address = server.sockets[0].getsockname()
    server.close()
    loop.close()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()


async def test_connections_live_on_when_their_server_closes() -> None:
    loop = asyncio.get_running_loop()
    protocols: list[Echo] = []

    def factory() -> Echo:
        protocols.append(Echo())
        return protocols[-1]

    server = await loop.create_server(factory, "127.0.0.1", 0)
    sock = socket.create_connection(server.sockets[0].getsockname())
    peer = Peer(sock)
    peer.send(b"before")
    assert await peer.recv_exactly(6) == b"before"
    server.close()
    peer.send(b"after")
    assert await peer.recv_exactly(5) == b"after"
    peer.close()
    await protocols[0].lost()
    await server.wait_closed()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio does so since 3.12")
async def test_wait_closed_waits_for_the_last_connection(
    loop: AbstractEventLoop,
) -> None:
    protocol = Recorder()
    server = await loop.create_server(lambda: protocol, "127.0.0.1", 0)
    peer = Peer(socket.create_connection(server.sockets[0].getsockname()))
    await protocol.until(lambda: protocol.is_made)
    server.close()
    waiting = asyncio.ensure_future(server.wait_closed())
    await asyncio.sleep(0)
    assert not waiting.done()
    peer.close()
    await waiting
    assert protocol.is_lost


@pytest.mark.skipif(sys.version_info < (3, 13), reason="new in 3.13")
@pytest.mark.parametrize("how", ["close_clients", "abort_clients"])
async def test_a_server_can_close_its_clients(
    loop: AbstractEventLoop, how: str
) -> None:
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server = await loop.create_server(factory, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    peers = [Peer(socket.create_connection(address)) for _ in range(3)]
    while len(protocols) < 3:
        await asyncio.sleep(0)
    for protocol in protocols:
        await protocol.made()
    server.close()
    getattr(server, how)()
    for peer in peers:
        assert await peer.recv_to_end() == b""
        peer.close()
    await server.wait_closed()


async def test_serve_forever_ends_when_cancelled_and_closes_the_server(
    loop: AbstractEventLoop,
) -> None:
    server = await loop.create_server(Echo, "127.0.0.1", 0, start_serving=False)
    address = server.sockets[0].getsockname()
    serving_ = asyncio.ensure_future(server.serve_forever())
    while not server.is_serving():
        await asyncio.sleep(0)
    peer = Peer(socket.create_connection(address))
    peer.send(b"x")
    assert await peer.recv_exactly(1) == b"x"
    with pytest.raises(RuntimeError, match="already being awaited"):
        await server.serve_forever()
    peer.close()
    serving_.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving_
    assert server.sockets == ()


async def test_a_closed_server_cannot_serve_again(loop: AbstractEventLoop) -> None:
    server = await loop.create_server(Recorder, "127.0.0.1", 0)
    server.close()
    with pytest.raises(RuntimeError, match="is closed"):
        await server.serve_forever()


async def test_a_server_can_be_closed_by_the_connection_it_has_just_accepted(
    loop: AbstractEventLoop,
) -> None:
    """Those accepted with it are served, and nothing leaks."""

    servers: list[asyncio.Server] = []
    protocols: list[Recorder] = []

    class Closes(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            servers[0].close()

    def factory() -> Closes:
        protocols.append(Closes())
        return protocols[-1]  # type: ignore[return-value]

    servers.append(
        await loop.create_server(factory, "127.0.0.1", 0, start_serving=False)
    )
    address = servers[0].sockets[0].getsockname()
    await servers[0].start_serving()
    # As many as one iteration accepts.  asyncio's accepts more; in either, whoever
    # comes in the next is refused.
    peers = [Peer(socket.create_connection(address)) for _ in range(16)]
    while not protocols:
        await asyncio.sleep(0)
    await protocols[0].made()
    for peer in peers:
        peer.close()
    for _ in range(10):
        await asyncio.sleep(0)
    for protocol in protocols:
        await protocol.lost()
    await servers[0].wait_closed()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("fewer than 2,000 descriptors allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_five_hundred_connections_that_came_at_once_are_all_served(
    many_descriptors: None, loop: AbstractEventLoop
) -> None:
    async with serving(Echo, backlog=600) as place:
        peers = [place.connect() for _ in range(500)]
        for number, peer in enumerate(peers):
            peer.send(b"%03d" % number)
        for number, peer in enumerate(peers):
            assert await peer.recv_exactly(3) == b"%03d" % number
        for peer in peers:
            peer.close()
        await everybody_has_left(place.server)


async def test_connections_that_come_and_go_at_once_leave_nothing() -> None:
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with serving(factory) as place:
        for number in range(50):
            peer = place.connect()
            if number % 2:
                peer.reset()
            else:
                peer.close()
        last = place.connect()
        last.send(b"last")
        while not any(protocol.received for protocol in made):
            await asyncio.sleep(0)
        last.close()
        for protocol in made:
            await protocol.lost()


async def test_a_taken_port_is_named_in_the_error(loop: AbstractEventLoop) -> None:
    async with serving(Recorder) as place:
        with pytest.raises(OSError, match=str(place.address[1])) as caught:
            await loop.create_server(Recorder, *place.address)
        assert caught.value.errno == errno.EADDRINUSE


async def test_two_servers_share_a_port_where_both_ask_for_it(
    loop: AbstractEventLoop,
) -> None:
    async with serving(Recorder, reuse_port=True) as place:
        second = await loop.create_server(Recorder, *place.address, reuse_port=True)
        second.close()
        await second.wait_closed()


@pytest.mark.parametrize(
    "options", [{}, {"host": "127.0.0.1", "port": 0, "sock": "a socket"}]
)
async def test_contradicting_arguments_are_refused(
    loop: AbstractEventLoop, options: dict[str, object]
) -> None:
    with socket.socket() as sock:
        given: dict[str, Any] = {
            name: sock if value == "a socket" else value
            for name, value in options.items()
        }
        with pytest.raises(ValueError):
            await loop.create_server(Recorder, **given)


async def test_streams_echo() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()

    async def client(name: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        for number in range(50):
            line = b"%d says %d\n" % (name, number)
            writer.write(line)
            assert await reader.readline() == line
        writer.write(b"x" * 200_000 + b"\n" if name == 0 else b"\n")
        writer.write_eof()
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client(name) for name in range(1, 11)))
    await everybody_has_left(server)
    server.close()
    await server.wait_closed()

"""Servers and clients on every kind of address: IPv4, IPv6, Unix, abstract."""

import asyncio
import os
import socket
import sys
from asyncio import AbstractEventLoop
from pathlib import Path

import pytest

from .peers import Peer, connected
from .protocols import Echo, Recorder
from .test_tcp_echo import everybody_has_left


async def test_a_server_listens_on_several_addresses(loop: AbstractEventLoop) -> None:
    server = await loop.create_server(Echo, ["127.0.0.1", "127.0.0.2"], 0)
    assert len(server.sockets) == 2
    for sock in server.sockets:
        peer = Peer(socket.create_connection(sock.getsockname()))
        peer.send(b"x")
        assert await peer.recv_exactly(1) == b"x"
        peer.close()
    await everybody_has_left(server)
    server.close()
    await server.wait_closed()


async def test_ipv6(loop: AbstractEventLoop) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback here")

    protocols: list[Echo] = []

    def factory() -> Echo:
        protocols.append(Echo())
        return protocols[-1]

    server = await loop.create_server(factory, "::1", 0)
    address = server.sockets[0].getsockname()
    transport, client = await loop.create_connection(Recorder, *address[:2])
    assert transport.get_extra_info("peername") == address
    assert len(transport.get_extra_info("sockname")) == 4
    transport.write(b"six")
    assert await client.got(3) == b"six"
    assert protocols[0].transport.get_extra_info(
        "peername"
    ) == transport.get_extra_info("sockname")
    transport.close()
    await client.lost()
    await protocols[0].lost()
    server.close()
    await server.wait_closed()


async def serve_and_connect(path: str) -> object:
    """The peer's address of a client whose byte the server has echoed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(Echo, path)
    transport, client = await loop.create_unix_connection(Recorder, path)
    peername: object = transport.get_extra_info("peername")
    transport.write(b"x")
    assert await client.got(1) == b"x"
    transport.close()
    await client.lost()
    await everybody_has_left(server)
    server.close()
    await server.wait_closed()
    return peername


async def test_a_unix_server_takes_over_a_path_that_nobody_serves_any_more(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "socket")

    for _ in range(2):
        await serve_and_connect(path)
        # Python 3.13 removes the path; earlier versions leave it.
        assert sys.version_info < (3, 13) or not os.path.exists(path)


async def test_abstract_unix_sockets() -> None:
    path = f"\0aioadapt-{os.getpid()}"
    assert await serve_and_connect(path) == path.encode()


async def test_addresses_are_still_answered_when_the_number_is_anothers() -> None:
    async with connected(Recorder) as (protocol, peer):
        names = peer.sock.getpeername(), peer.sock.getsockname()
        peer.close()
        await protocol.lost()
        await asyncio.sleep(0)
        others = [socket.socket(socket.AF_INET6) for _ in range(8)]
        try:
            for other in others:
                other.bind(("::1", 0))
            answered = (
                protocol.transport.get_extra_info("sockname"),
                protocol.transport.get_extra_info("peername"),
            )
        finally:
            for other in others:
                other.close()
        assert answered == names

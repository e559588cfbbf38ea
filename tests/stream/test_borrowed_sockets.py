"""A socket that its owner closes while a transport uses it."""

import asyncio
import gc
import os
import socket
from asyncio import AbstractEventLoop
from collections.abc import Iterator

import pytest
from loops import LoopFactory, Run
from parity.protocols import Recorder

pytestmark = pytest.mark.ours_only

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair(nothing_is_left: None) -> Iterator[Pair]:
    """The transport's socket and the peer's; only the peer's is closed here."""
    ours, peer = socket.socketpair()
    peer.settimeout(10)
    yield ours, peer
    peer.close()


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_the_number_is_not_given_to_others_while_the_transport_uses_it(
    loop: AbstractEventLoop, run: Run, pair: Pair
) -> None:
    """Otherwise writes would reach another connection."""
    ours, peer = pair
    fd = ours.fileno()

    async def main() -> None:
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        ours.close()
        a, b = socket.socketpair()
        with a, b:
            assert fd not in (a.fileno(), b.fileno())
        transport.write(b"for the peer")
        peer.send(b"for us")
        assert await protocol.got(6) == b"for us"
        assert await asyncio.to_thread(peer.recv, 100) == b"for the peer"
        transport.close()
        await protocol.lost()

    run(main())
    assert not is_open(fd)
    assert peer.recv(1) == b""


def test_the_transport_still_closes_it_in_the_end(
    loop: AbstractEventLoop, run: Run, pair: Pair
) -> None:
    ours, peer = pair
    fd = ours.fileno()

    async def main() -> None:
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        ours.close()
        transport.abort()
        await protocol.lost()

    run(main())
    assert not is_open(fd)
    assert peer.recv(1) == b""


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_closes_although_sockets_were_closed_under_its_transports(
    loop_factory: LoopFactory,
) -> None:
    """A second connection with the first one's number would be confused with it."""
    loop = loop_factory()
    peers: list[socket.socket] = []

    async def main() -> None:
        for _ in range(3):
            ours, peer = socket.socketpair()
            peers.append(peer)
            await loop.create_connection(Recorder, sock=ours)
            ours.close()
        assert len(loop.streams_by_fd) == 3  # type: ignore[attr-defined]

    loop.run_until_complete(main())
    loop.close()
    gc.collect()

    for peer in peers:
        peer.settimeout(10)
        assert peer.recv(1) == b""
        peer.close()


def test_a_listening_socket_keeps_its_number_until_the_server_is_closed(
    loop: AbstractEventLoop, run: Run
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    fd, address = listener.fileno(), listener.getsockname()
    protocol = Recorder()

    async def main() -> None:
        server = await loop.create_server(lambda: protocol, sock=listener)
        listener.close()
        assert is_open(fd)
        with socket.create_connection(address) as peer:
            peer.send(b"x")
            assert await protocol.got(1) == b"x"
        await protocol.lost()
        server.close()
        await server.wait_closed()

    run(main())
    assert not is_open(fd)

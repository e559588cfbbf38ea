"""Closing a loop that still has connections, servers or waiting calls."""

import asyncio
import gc
import os
import socket
import warnings
from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from loops import LoopFactory, Run, factory_of, run_iterations

from .peers import Peer
from .protocols import BufferedRecorder, Recorder
from .test_flow_control import fill


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("protocol", [Recorder, BufferedRecorder])
def test_a_loop_can_be_closed_under_live_connections(
    loop_factory: LoopFactory, protocol: type[Recorder] | type[BufferedRecorder]
) -> None:
    """Their peers see the end of file, and nothing is leaked."""
    loop = loop_factory()
    made: list[Recorder | BufferedRecorder] = []

    def factory() -> Recorder | BufferedRecorder:
        made.append(protocol())
        return made[-1]

    async def main() -> list[Peer]:
        server = await loop.create_server(factory, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        peers = [Peer(socket.create_connection(address)) for _ in range(20)]
        while len(made) < 20:
            await asyncio.sleep(0)
        for each in made:
            await each.made()
        server.close()
        return peers

    peers = loop.run_until_complete(main())
    loop.close()
    made.clear()
    gc.collect()
    for peer in peers:
        assert peer.sock.recv(1) == b""
        peer.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_can_be_closed_while_bytes_wait_to_be_sent(
    loop_factory: LoopFactory,
) -> None:
    loop = loop_factory()

    async def main() -> socket.socket:
        ours, theirs = socket.socketpair()
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        fill(transport, protocol)
        return theirs

    theirs = loop.run_until_complete(main())
    loop.close()
    gc.collect()
    theirs.settimeout(5)
    while theirs.recv(1 << 20):
        pass
    theirs.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning")
def test_a_loop_can_be_closed_with_its_server_and_unaccepted_connections(
    loop_factory: LoopFactory,
) -> None:
    loop = loop_factory()
    server = loop.run_until_complete(loop.create_server(Recorder, "127.0.0.1", 0))
    address = server.sockets[0].getsockname()
    peers = [socket.create_connection(address) for _ in range(5)]
    loop.close()
    server.close()
    del server
    gc.collect()
    for peer in peers:
        peer.settimeout(5)
        try:
            assert peer.recv(1) == b""
        except ConnectionResetError:
            pass
        peer.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_transport_outlives_its_loop_and_can_be_told_to_close(
    loop: AbstractEventLoop, run: Run
) -> None:
    """asyncio raises here; nothing worse may happen."""

    async def main() -> tuple[asyncio.Transport, socket.socket]:
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(Recorder, sock=ours)
        return transport, theirs

    transport, theirs = run(main())
    loop.close()
    calls: list[Callable[[], None]] = [
        partial(transport.write, b"x"),
        transport.pause_reading,
        transport.resume_reading,
        transport.close,
        transport.abort,
    ]
    for call in calls:
        try:
            call()
        except (RuntimeError, AttributeError, OSError):
            pass
    del transport, calls, call
    gc.collect()
    theirs.close()


def test_a_loop_can_be_closed_while_sock_calls_wait(
    loop: AbstractEventLoop,
) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    waiting = loop.create_task(loop.sock_recv(ours, 10))
    run_iterations(loop)
    waiting.cancel()
    run_iterations(loop)
    loop.close()
    ours.close()
    theirs.close()


def test_fifty_loops_one_after_the_other_leave_nothing(
    loop_factory: LoopFactory,
) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        transport, protocol = await asyncio.get_running_loop().create_connection(
            Recorder, sock=ours
        )
        theirs.send(b"x")
        await protocol.got(1)
        transport.close()
        await protocol.lost()
        theirs.close()

    for _ in range(50):
        loop = loop_factory()
        loop.run_until_complete(main())
        loop.close()


def test_many_loops_live_side_by_side(loop_factory: LoopFactory) -> None:
    loops = [loop_factory() for _ in range(10)]

    async def answer(number: int) -> int:
        await asyncio.sleep(0)
        return number

    for _ in range(3):
        for number, loop in enumerate(loops):
            assert loop.run_until_complete(answer(number)) == number
    for loop in loops:
        loop.close()


async def listening(loop: AbstractEventLoop) -> None:
    await loop.create_server(Recorder, "127.0.0.1", 0)


async def connected(loop: AbstractEventLoop) -> None:
    server = await loop.create_server(Recorder, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    transport, _ = await loop.create_connection(Recorder, *address)
    transport.write(bytes(1 << 24))


async def watching(loop: AbstractEventLoop) -> None:
    ours, theirs = socket.socketpair()
    loop.add_reader(ours, print, theirs)
    loop.add_writer(theirs, print, ours)


async def receiving_datagrams(loop: AbstractEventLoop) -> None:
    await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )


@pytest.mark.parametrize("begin", [listening, connected, watching, receiving_datagrams])
def test_a_loop_that_is_dropped_unclosed_is_collected_with_all_that_it_serves(
    loop_kind: str, begin: Callable[[AbstractEventLoop], Any]
) -> None:
    """Operations in the kernel keep themselves alive, but not their loop."""

    def drop_one() -> None:
        loop = factory_of(loop_kind)()
        loop.run_until_complete(begin(loop))

    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drop_one()
        gc.collect()
        gc.collect()  # garbage left by the finalizers of the first
    told = [str(warning.message) for warning in caught]
    assert sum(each.startswith("unclosed event loop") for each in told) == 1, told
    assert len(os.listdir("/proc/self/fd")) == before

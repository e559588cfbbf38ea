"""Loops that accept from one listening socket take turns, whoever runs first.

Each loop runs only when the test runs it, so these tests choose who is first.
"""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from loops import LoopFactory

from .conftest import Recorder, Scene

pytestmark = pytest.mark.ours_only

BATCH = 16
ALONE = 64
"""Connections after which a loop that seems to be alone leaves the others a turn."""


class Sharer(Scene):
    """A loop that serves a listening socket which others serve too."""

    def __init__(self, loop: Any) -> None:
        super().__init__(loop)
        self.accepted = 0

    def factory(self) -> asyncio.Protocol:
        self.accepted += 1
        return Recorder()

    def share(self, listening: socket.socket) -> None:
        sock = listening.dup()
        sock.setblocking(False)
        server = self.loop.run_until_complete(
            self.loop.create_server(self.factory, sock=sock, backlog=300)
        )
        self._servers.append(server)
        # Whatever waits in the socket's queue stays there.
        self.run_iterations(2)


@pytest.fixture
def pair(loop_factory: LoopFactory) -> Iterator[tuple[Sharer, Sharer]]:
    pair = Sharer(loop_factory()), Sharer(loop_factory())
    yield pair
    for scene in pair:
        scene.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=300) as sock:
        yield sock


def connect_one_by_one(
    first: Sharer, second: Sharer, address: Any, count: int
) -> list[int]:
    """How many each of them accepts if *first* always runs first."""
    before = [first.accepted, second.accepted]
    for number in range(count):
        first.peers.append(socket.create_connection(address))
        while first.accepted + second.accepted < sum(before) + number + 1:
            for scene in (first, second):
                scene.run_iterations(1)
        for scene in (first, second):
            scene.run_iterations(3)
    return [first.accepted - before[0], second.accepted - before[1]]


def test_the_loop_that_always_runs_first_gets_at_most_twice_its_share(
    pair: tuple[Sharer, Sharer], listening: socket.socket
) -> None:
    for scene in pair:
        scene.share(listening)

    shares = connect_one_by_one(*pair, listening.getsockname(), 60)

    assert min(shares) >= 15
    assert sum(shares) == 60


def test_a_loop_that_seems_to_be_alone_finds_out_that_it_is_not(
    pair: tuple[Sharer, Sharer],
) -> None:
    """Its own server made the socket, and the other loop never gets ahead of it."""
    first, second = pair
    server = first.serve(first.factory)
    address = server.sockets[0].getsockname()
    second.share(server.sockets[0]._sock)  # type: ignore[attr-defined]

    assert connect_one_by_one(first, second, address, ALONE) == [ALONE, 0]
    shares = connect_one_by_one(first, second, address, 60)

    assert min(shares) >= 15


def test_after_a_full_batch_a_loop_leaves_a_burst_to_the_others_for_a_while(
    pair: tuple[Sharer, Sharer], listening: socket.socket
) -> None:
    first, second = pair
    for scene in pair:
        scene.share(listening)
    now = first.loop.time()
    # The loop looks at its own clock only while there is a timer.
    timer = first.loop.call_later(3600, first.loop.stop)
    first.loop.time = lambda: now
    for _ in range(10 * BATCH):
        first.peers.append(socket.create_connection(listening.getsockname()))

    first.run_iterations(10)

    assert first.accepted == BATCH
    second.until(lambda: second.accepted == 9 * BATCH)
    del first.loop.time
    timer.cancel()


def test_a_loop_beside_one_that_does_not_run_serves_everybody(
    pair: tuple[Sharer, Sharer], listening: socket.socket
) -> None:
    first, second = pair
    for scene in pair:
        scene.share(listening)
    for _ in range(4 * BATCH):
        first.peers.append(socket.create_connection(listening.getsockname()))

    second.until(lambda: second.accepted == 4 * BATCH)

    first.run_iterations(3)
    assert first.accepted == 0


@pytest.mark.parametrize("taken", [0, 1, BATCH])
def test_a_loop_that_closes_its_server_leaves_the_queue_to_the_others(
    pair: tuple[Sharer, Sharer], listening: socket.socket, taken: int
) -> None:
    """Also one that has just left the others a turn, or makes a pause."""
    first, second = pair
    for scene in pair:
        scene.share(listening)
    for _ in range(taken):
        first.peers.append(socket.create_connection(listening.getsockname()))
    first.until(lambda: first.accepted == taken)
    for _ in range(10):
        first.peers.append(socket.create_connection(listening.getsockname()))
    first.run_iterations(1 if taken else 0)
    already = first.accepted

    first._servers[0].close()
    first.run_iterations(3)

    second.until(lambda: second.accepted == 10 + taken - already)
    assert first.accepted == already

"""Loops that accept from one listening socket.

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


@pytest.mark.parametrize("taken", [0, BATCH])
def test_a_loop_that_closes_its_server_leaves_the_queue_to_the_others(
    pair: tuple[Sharer, Sharer], listening: socket.socket, taken: int
) -> None:
    first, second = pair
    for scene in pair:
        scene.share(listening)
    for _ in range(taken + 10):
        first.peers.append(socket.create_connection(listening.getsockname()))
    first.run_iterations(1 if taken else 0)

    first._servers[0].close()
    first.run_iterations(3)

    assert first.accepted == taken
    second.until(lambda: second.accepted == 10)

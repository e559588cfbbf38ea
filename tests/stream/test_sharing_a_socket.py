"""Loops that accept from one listening socket.

Each loop runs only when the test runs it, so these tests choose who is first.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from forking import fork
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
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=300) as sock:
        yield sock


@pytest.fixture
def pair(
    loop_factory: LoopFactory, listening: socket.socket
) -> Iterator[tuple[Sharer, Sharer]]:
    pair = Sharer(loop_factory()), Sharer(loop_factory())
    for scene in pair:
        scene.share(listening)
    yield pair
    for scene in pair:
        scene.close()


def test_a_loop_beside_one_that_does_not_run_serves_everybody(
    pair: tuple[Sharer, Sharer], listening: socket.socket
) -> None:
    first, second = pair
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
    for _ in range(taken + 10):
        first.peers.append(socket.create_connection(listening.getsockname()))
    first.run_iterations(1 if taken else 0)

    first._servers[0].close()
    first.run_iterations(3)

    assert first.accepted == taken
    second.until(lambda: second.accepted == 10)


def test_a_loop_that_came_too_late_goes_on_accepting(
    pair: tuple[Sharer, Sharer], listening: socket.socket
) -> None:
    first, second = pair
    for turn in range(1, 4):
        for early, late in ((first, second), (second, first)):
            early.peers.append(socket.create_connection(listening.getsockname()))
            # The kernel tells both; the late one finds nothing.
            early.run_iterations(3)
            assert early.accepted == turn
            late.run_iterations(3)
    assert (first.accepted, second.accepted) == (3, 3)


class Named(asyncio.Protocol):
    """Answers with the number of its process."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"%d\n" % os.getpid())


def _serve(loop_factory: LoopFactory, listening: socket.socket, ready: int) -> None:
    loop = loop_factory()
    listening.setblocking(False)
    loop.run_until_complete(loop.create_server(Named, sock=listening, backlog=300))
    os.write(ready, b"x")
    loop.run_forever()


def test_a_worker_that_is_killed_leaves_the_queue_to_the_others(
    loop_factory: LoopFactory, listening: socket.socket
) -> None:
    told, ready = os.pipe()
    workers = []
    clients: list[socket.socket] = []
    try:
        for _ in range(2):
            workers.append(fork(lambda: _serve(loop_factory, listening, ready)))
            assert os.read(told, 1) == b"x"
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
            os.waitpid(pid, os.WUNTRACED)
        address = listening.getsockname()
        clients.extend(socket.create_connection(address) for _ in range(50))

        os.kill(workers[0], signal.SIGKILL)
        os.waitpid(workers[0], 0)
        os.kill(workers[1], signal.SIGCONT)

        for client in clients:
            client.settimeout(10)
            assert client.recv(20) == b"%d\n" % workers[1]
    finally:
        for client in clients:
            client.close()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        os.close(told)
        os.close(ready)

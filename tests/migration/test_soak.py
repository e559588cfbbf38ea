"""Soak tests: repeated moves and connections must not leak anything.

Each soak works in rounds.  After a round every connection is gone and the
loops are idle, so what the process holds can be compared number by number.
The first half is the warm-up, in which caches, free lists and buffers reach
their size.

AIOADAPT_SOAK_S is how many seconds each soak lasts, 60 by default.
"""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle

import pytest
from soaking import SOAK_S, Growth, come_to_rest, in_kernel, needs, threads
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aioadapt import LoopThread, Migrator
from aioadapt.migration import reasons
from demo.limits import allow_descriptors
from demo.load import Load
from demo.options import Options
from demo.serve import Side, serving

from .real import ENDS_WITHIN_S, Peer, Place, TinyHttp

ROUNDS = 4

CLIENTS = 48
RESETTERS = 4
CHURNED_A_ROUND = 2000
OPEN_AT_ONCE = 200

NO_FAULTS = {"failed": 0, "lost": 0, "duplicated": 0, "misrouted": 0}

# A peer that leaves during a move is no failure of the move, and one that stalls
# in the middle of a request keeps its connection busy.
REASONS_TO_STAY = {
    reasons.CLOSED,
    reasons.OUT_OF_TIME,
    "half-closed",
    "a request is arriving",
    "a request is being answered",
    "bytes are being sent",
}

pytestmark = [pytest.mark.soak, pytest.mark.timeout(120 + 3 * SOAK_S)]


# -- Drained back and forth.


class Resetter(threading.Thread):
    """Resets one connection after another, idle ones and busy ones."""

    LAST_WORDS = (b"", b"GET /0/", b"POST /0/1 HTTP/1.1\r\nhost: h\r\n")
    ASKS = b"GET /0/0 HTTP/1.1\r\nhost: h\r\n\r\n"

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self.resets = 0
        self.failed: BaseException | None = None
        self._address = address
        self._enough = threading.Event()

    def run(self) -> None:
        last_words = cycle([*self.LAST_WORDS, self.ASKS])
        try:
            while not self._enough.is_set():
                peer = Peer(self._address)
                peer.sock.sendall(self.ASKS)
                assert peer.sock.recv(4096).startswith(b"HTTP/1.1 200")
                peer.sock.sendall(next(last_words))
                peer.resets()
                self.resets += 1
        except BaseException as error:
            self.failed = error

    def stop(self) -> None:
        self._enough.set()
        self.join(ENDS_WITHIN_S)


async def drained_back_and_forth(
    sides: list[Side], address: tuple[str, int], migrator: Migrator, seconds: float
) -> None:
    """One round; the verifying clients must find no errors."""
    loop = asyncio.get_running_loop()
    load = await Load.start(
        address, Options(connections=CLIENTS), [side.name for side in sides]
    )
    resetters = [Resetter(address) for _ in range(RESETTERS)]
    for resetter in resetters:
        resetter.start()
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            await load.connected.wait()
        ends_at = loop.time() + seconds
        source, target = (side.thread for side in sides)
        while loop.time() < ends_at and not load.ended.done():
            report = await migrator.drain(source, to=target, timeout_s=0.5)
            assert report.left.keys() <= REASONS_TO_STAY
            source, target = target, source
        outcome = await load.stop()
    finally:
        for resetter in resetters:
            await asyncio.to_thread(resetter.stop)
        await load.kill()
        assert [resetter.failed for resetter in resetters] == [None] * RESETTERS
        assert all(resetter.resets > 0 for resetter in resetters)
    assert outcome["fault_examples"] == []
    faults = {name: outcome[name] for name in NO_FAULTS}
    assert faults == NO_FAULTS
    assert outcome["opened"] > CLIENTS, "some came and went"
    assert outcome["changes"].keys() == {"a>b", "b>a"}


@pytest.fixture
def timers_end_with_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn keeps a reset connection's protocol until its keep-alive timer is
    due, so fast resets would pile up thousands of them."""
    connection_lost = HttpToolsProtocol.connection_lost

    def connection_lost_for_good(
        protocol: HttpToolsProtocol, exc: Exception | None
    ) -> None:
        connection_lost(protocol, exc)
        protocol._unset_keepalive_if_required()

    monkeypatch.setattr(HttpToolsProtocol, "connection_lost", connection_lost_for_good)


@pytest.mark.usefixtures("timers_end_with_connections")
@pytest.mark.parametrize("way", ["epoll>uring", "epoll>epoll"])
def test_drains_back_and_forth_lose_nothing_and_leave_nothing(way: str) -> None:
    engines = way.split(">")
    needs(*engines)
    migrator = Migrator()
    growth = Growth()

    async def soak(threads: list[LoopThread]) -> None:
        sides = [Side(thread.name, thread) for thread in threads]
        async with serving(sides) as address:
            idle = [in_kernel(thread) for thread in threads]
            for number in range(ROUNDS):
                await drained_back_and_forth(sides, address, migrator, SOAK_S / ROUNDS)
                await come_to_rest(threads, idle, HttpToolsProtocol)
                growth.round_ends(warming_up=number < ROUNDS // 2)

    with threads(*engines) as running:
        asyncio.run(soak(running))

    assert migrator.stats.closed == migrator.stats.returned == 0
    growth.assert_none()


# -- Opened and closed.


def shuts_and_hears_the_end(peer: Peer) -> None:
    peer.sock.shutdown(socket.SHUT_WR)
    assert peer.hears_the_end()
    peer.close()


def resets_in_the_middle(peer: Peer) -> None:
    peer.sock.sendall(b"POST /half HTTP/1.1\r\nContent-Le")
    peer.resets()


def resets_with_an_answer_unread(peer: Peer) -> None:
    peer.say(b"x" * 5000)
    peer.resets()


PARTINGS: list[Callable[[Peer], None]] = [
    Peer.close,
    shuts_and_hears_the_end,
    Peer.resets,
    resets_in_the_middle,
    resets_with_an_answer_unread,
]


def churn(address: tuple[str, int], count: int) -> None:
    """Open *count* connections, at most OPEN_AT_ONCE at a time; each sends one
    request and closes."""
    partings = cycle(PARTINGS)
    connected: deque[Peer] = deque()
    for _ in range(count):
        if len(connected) == OPEN_AT_ONCE:
            part(connected.popleft(), next(partings))
        peer = Peer(address)
        connected.append(peer)
        peer.ask(b"hello")
    while connected:
        part(connected.popleft(), next(partings))


def part(peer: Peer, how: Callable[[Peer], None]) -> None:
    peer.ask(b"x" * (peer.sock.fileno() * 37 % 9000))
    how(peer)


@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_connections_that_come_and_go_leave_nothing(engine: str) -> None:
    needs(engine)
    assert allow_descriptors(2 * OPEN_AT_ONCE + 256)
    growth = Growth()

    async def soak(thread: LoopThread, address: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        idle = [in_kernel(thread)]
        warm_at, ends_at = loop.time() + SOAK_S / 2, loop.time() + SOAK_S
        while growth.rounds < 2 or loop.time() < ends_at:
            warming_up = loop.time() < warm_at
            await asyncio.to_thread(churn, address, CHURNED_A_ROUND)
            await come_to_rest([thread], idle, TinyHttp)
            growth.round_ends(warming_up=warming_up)

    with (
        socket.create_server(("127.0.0.1", 0), backlog=512) as listener,
        threads(engine) as (thread,),
        ExitStack() as stack,
    ):
        place = Place(thread, listener)
        stack.callback(place.stop)
        place.serve()
        place.run_iterations()
        asyncio.run(soak(thread, listener.getsockname()))
        accepts: int = thread.loop.stats().accepts

    assert accepts == growth.rounds * CHURNED_A_ROUND
    growth.assert_none()

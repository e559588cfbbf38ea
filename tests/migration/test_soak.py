"""Hours in a minute: what is done over and over must leave nothing behind.

Each soak works in rounds.  After a round every connection is gone and the
loops rest, so what the process holds then can be compared number by number.
The first round is the warm-up, in which caches, free lists and buffers reach
their size.

AIOADAPT_SOAK_S is how many seconds each soak lasts, 60 unless told otherwise.
"""

import asyncio
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any

import pytest

import aioadapt
from aioadapt import LoopThread, Migrator
from aioadapt.cli.demo.limits import allow_descriptors
from aioadapt.cli.demo.load import Load
from aioadapt.cli.demo.options import Options
from aioadapt.cli.demo.serve import Side, serving
from aioadapt.migration import reasons

from .memory import Holding
from .real import ENDS_WITHIN_S, Peer, Place

URING = aioadapt.uring_support()
SOAK_S = float(os.environ.get("AIOADAPT_SOAK_S", "60"))
ROUNDS = 4

CLIENTS = 48
RESETTERS = 4
CHURNED_A_ROUND = 2000
OPEN_AT_ONCE = 200

# Measured over 60 s: see each.  What leaks a connection or a move even by a
# hundred bytes grows by more.
OBJECTS_MORE_AT_MOST = 50
BLOCKS_MORE_AT_MOST = 2_000
RESIDENT_MORE_AT_MOST_BYTES = 8 << 20

# A peer that leaves while it is asked to move is no failure of the move, and
# one that is silent in the middle of a request is busy for as long as it likes.
REASONS_TO_STAY = {
    reasons.CLOSED,
    reasons.OUT_OF_TIME,
    "half-closed",
    "a request is being answered",
    "bytes are being sent",
}

pytestmark = [pytest.mark.soak, pytest.mark.timeout(120 + 3 * SOAK_S)]


def needs(*engines: str) -> None:
    if "uring" in engines and not URING.available:
        pytest.skip(URING.reason)


@contextmanager
def threads(*engines: str) -> Iterator[list[LoopThread]]:
    """Running; at the end nothing was reported, and the kernel holds nothing."""
    reported: list[dict[str, Any]] = []
    with ExitStack() as stack:
        started = [
            stack.enter_context(LoopThread(engine, name=name))
            for engine, name in zip(engines, "ab", strict=False)
        ]
        for thread in started:
            thread.loop.set_exception_handler(lambda _, c: reported.append(c))
        yield started
    assert reported == []
    assert [in_kernel(thread) for thread in started] == [0] * len(started)


def in_kernel(thread: LoopThread) -> int:
    """Operations that the kernel holds for this loop."""
    count: int = thread.loop.stats().in_kernel  # type: ignore[attr-defined]
    return count


async def come_to_rest(threads: list[LoopThread], resting: list[int]) -> None:
    """No connection is left, and the kernel holds what it held before the first."""

    def at_rest() -> bool:
        connections = [c for thread in threads for c in thread.connections]
        return not connections and [in_kernel(t) for t in threads] == resting

    async with asyncio.timeout(ENDS_WITHIN_S):
        while not at_rest():
            for thread in threads:
                await asyncio.wrap_future(thread.submit(asyncio.sleep(0)))


def assert_nothing_grew(held: list[Holding]) -> None:
    """From the end of the warm-up to the end of the last round."""
    warm, last = held[0], held[-1]
    assert last.descriptors == warm.descriptors
    assert last.objects_of("aioadapt") == warm.objects_of("aioadapt")
    assert last.grown_by_more_than(OBJECTS_MORE_AT_MOST, warm) == {}
    assert last.blocks - warm.blocks <= BLOCKS_MORE_AT_MOST
    resident = [holding.resident_bytes for holding in held]
    assert resident[-1] - resident[0] <= RESIDENT_MORE_AT_MOST_BYTES, resident


# -- Drained back and forth.


class Resetter(threading.Thread):
    """Resets one connection after another, at rest and in the middle of things."""

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
) -> dict[str, Any]:
    """One round; what the verifying clients have to say."""
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
        return await load.stop()
    finally:
        for resetter in resetters:
            await asyncio.to_thread(resetter.stop)
        await load.abandon()
        assert [resetter.failed for resetter in resetters] == [None] * RESETTERS
        assert all(resetter.resets > 0 for resetter in resetters)


@pytest.mark.parametrize("way", ["epoll>uring", "epoll>epoll"])
def test_drains_back_and_forth_lose_nothing_and_leave_nothing(way: str) -> None:
    engines = way.split(">")
    needs(*engines)
    migrator = Migrator()
    held: list[Holding] = []
    outcomes: list[dict[str, Any]] = []

    async def soak(threads: list[LoopThread]) -> None:
        sides = [Side(thread.name, thread) for thread in threads]
        async with serving(sides) as address:
            resting = [in_kernel(thread) for thread in threads]
            for _ in range(ROUNDS):
                outcomes.append(
                    await drained_back_and_forth(
                        sides, address, migrator, SOAK_S / ROUNDS
                    )
                )
                await come_to_rest(threads, resting)
                held.append(Holding.now())

    with threads(*engines) as running:
        asyncio.run(soak(running))

    for outcome in outcomes:
        assert outcome["fault_examples"] == []
        assert {
            fault: outcome[fault]
            for fault in ("failed", "lost", "duplicated", "misrouted")
        } == {"failed": 0, "lost": 0, "duplicated": 0, "misrouted": 0}
        assert outcome["opened"] > CLIENTS, "some came and went"
        assert outcome["changes"].keys() == {"a>b", "b>a"}
    assert migrator.stats.abandoned == migrator.stats.returned == 0
    assert_nothing_grew(held)


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
    """*count* connections, never more at once than so many; each asks, and parts."""
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
    held: list[Holding] = []

    async def soak(thread: LoopThread, address: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        resting = [in_kernel(thread)]
        ends_at = loop.time() + SOAK_S
        while len(held) < 2 or loop.time() < ends_at:
            await asyncio.to_thread(churn, address, CHURNED_A_ROUND)
            await come_to_rest([thread], resting)
            held.append(Holding.now())

    with (
        socket.create_server(("127.0.0.1", 0), backlog=512) as listener,
        threads(engine) as (thread,),
    ):
        place = Place(thread, listener)
        place.serve()
        place.turn()
        asyncio.run(soak(thread, listener.getsockname()))
        accepts: int = thread.loop.stats().accepts  # type: ignore[attr-defined]
        place.stop()

    assert accepts == len(held) * CHURNED_A_ROUND
    assert_nothing_grew(held)

"""Connections that are moved, in the middle of their requests, while calls fail."""

import asyncio
import gc
import logging
import random
import socket
import threading
import warnings
from contextlib import ExitStack

from leftovers import looking_into_loops
from migration.real import ENDS_WITHIN_S, Peer, Place

from aioadapt import LoopThread, Migrator, uring_support

from .boundary import Boundary
from .outcome import Outcome, descriptors, may_end_one
from .plan import FEWER, SMALL_RINGS, Plan, Strike, a_strike

CLIENTS = 5
REQUESTS = 12
DRAIN_WITHIN_S = 0.2

_WEIGHTS = {
    "recv": 4, "send": 5, "epoll add": 3, "epoll mod": 1, "epoll wait": 2, "write": 1,
    "ring enter": 3, "ring recv": 5, "ring poll": 2, "ring cancel": 5, "ring reap": 5,
}  # fmt: skip

ENDED = (ConnectionError, BrokenPipeError)


def plan_of_moves(seed: int) -> tuple[Plan, Plan]:
    """What happens to the ring's set-up, and while connections move."""
    dice = random.Random(f"moves {seed}")
    setup: Plan = ()
    if dice.random() < 0.3:
        setup = (Strike("ring setup", 0, FEWER, dice.choice(SMALL_RINGS)),)
    calls = dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=dice.randint(1, 6))
    return setup, tuple(a_strike(dice, call, late=8) for call in calls)


class Client(threading.Thread):
    """Asks and checks the answers, until it has enough or its connection ends."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self.peer = peer
        self.has_ended = False
        self.failed: BaseException | None = None

    def run(self) -> None:
        self.ask(REQUESTS)

    def ask(self, times: int) -> None:
        try:
            for number in range(times):
                self.peer.ask(b"x" * (number * 997 % 40_000))
        except ENDED:
            self.has_ended = True
        except AssertionError as error:
            self.has_ended = "the connection ended" in str(error)
            self.failed = None if self.has_ended else error
        except BaseException as error:
            self.failed = error


def play_moves(seed: int) -> Outcome:
    """To be called in a process of its own."""
    outcome = Outcome()
    warnings.simplefilter("ignore")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    before = descriptors()
    boundary = Boundary()
    setup, plan = plan_of_moves(seed)
    assert uring_support().available  # asked before anything can fail
    with looking_into_loops() as found:
        boundary.arm(setup)
        with LoopThread("epoll") as a, LoopThread("uring") as b, ExitStack() as closing:
            _serve(outcome, boundary, plan, closing, a, b)
    outcome.problems += found
    gc.collect()
    if left := descriptors() - before:
        outcome.problems.append(f"{len(left)} descriptors are left: {sorted(left)}")
    return outcome


def _serve(
    outcome: Outcome,
    boundary: Boundary,
    plan: Plan,
    closing: ExitStack,
    a: LoopThread,
    b: LoopThread,
) -> None:
    listener = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
    for thread in a, b:
        place = Place(thread, listener)
        thread.submit(_watch(thread)).result(ENDS_WITHIN_S)
        place.serve()
        closing.callback(place.stop)
    clients = []
    for _ in range(CLIENTS):
        peer = Peer(listener.getsockname())
        closing.callback(peer.close)
        peer.ask()
        clients.append(Client(peer))

    boundary.arm(plan)
    for client in clients:
        client.start()
    outcome.made["moves"] += asyncio.run(_move(clients, a, b))
    for client in clients:
        client.join(ENDS_WITHIN_S)
    outcome.struck += boundary.struck()
    outcome.made.update(boundary.counts())
    boundary.disarm()

    ended = 0
    for client in clients:
        if not client.has_ended and not client.is_alive():
            client.ask(1)
        if client.is_alive() or client.failed is not None:
            outcome.problems.append(f"a client was not answered: {client.failed!r}")
        ended += client.has_ended
    if ended > sum(map(may_end_one, outcome.struck)):
        outcome.problems.append("a connection ended that nothing has struck")
    heard = set()
    for _ in range(100):
        peer = Peer(listener.getsockname())
        heard.add(peer.ask())
        peer.close()
        if len(heard) == 2:
            break
    else:
        outcome.problems.append("afterwards one of the loops serves nobody")


async def _watch(thread: LoopThread) -> None:
    thread.loop.watch_http1 = True


async def _move(clients: list[Client], a: LoopThread, b: LoopThread) -> int:
    """Back and forth, until the clients have had enough."""
    migrator = Migrator()
    moved = 0
    while any(client.is_alive() for client in clients):
        for source, target in ((a, b), (b, a)):
            report = await migrator.drain(source, to=target, timeout_s=DRAIN_WITHIN_S)
            moved += report.moved
    return moved

"""Conversations of many protocols while their connections change engines.

Both sides are on the loop, so each connection is swapped at both ends.  Every byte is
checked.  What was swapped in which direction, and what it was doing, is logged.
"""

import asyncio
import logging
import random
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
import trustme
from conversations.clients import talk
from conversations.servers import KINDS, Tls, server_of
from loops import SwappingEventLoop, or_skip
from soaking import SOAK_S, Growth

import aioadapt

_log = logging.getLogger(__name__)

WITHIN_S = 40.0

# Of 256 connections, so many are swapped when an iteration ends.
SHARES = (256, 128, 16)


@pytest.fixture(scope="session")
def tls(authority: trustme.CA, client_context: ssl.SSLContext) -> Tls:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    server.set_alpn_protocols(["h2", "http/1.1"])
    return Tls(server, client_context)


@pytest.fixture
def loop(request: pytest.FixtureRequest) -> Iterator[SwappingEventLoop]:
    or_skip("swapping")
    loop = SwappingEventLoop()
    yield loop
    loop.close()


async def converse(kinds: tuple[str, ...], dice: random.Random, tls: Tls) -> None:
    """Eight clients of each kind, at the same time."""
    async with asyncio.timeout(WITHIN_S), AsyncExitStack() as servers:
        addresses = {
            kind: await servers.enter_async_context(server_of(kind, dice, tls))
            for kind in kinds
        }
        async with asyncio.TaskGroup() as clients:
            for kind, address in addresses.items():
                for _ in range(8):
                    clients.create_task(talk(kind, address, dice, tls))


def report(counts: Counter[tuple[str, str]]) -> None:
    for (engine, doing), count in sorted(counts.items()):
        _log.info("from %s, %s: %d", engine, doing, count)


def swapped(
    loop: SwappingEventLoop, kinds: tuple[str, ...], seed: int, tls: Tls
) -> None:
    dice = random.Random(seed)
    loop.swap_share = SHARES[seed % len(SHARES)]
    loop.run_until_complete(converse(kinds, dice, tls))
    loop.run_until_complete(loop.shutdown_default_executor())
    report(loop.swapped)
    assert loop.stats().in_kernel == 0


@pytest.mark.parametrize("kind", KINDS)
def test_peers_see_exact_streams(kind: str, loop: SwappingEventLoop, tls: Tls) -> None:
    swapped(loop, (kind,), 0, tls)

    by_engine = Counter[str]()
    for (engine, _), count in loop.swapped.items():
        by_engine[engine] += count
    assert min(by_engine["epoll"], by_engine["uring"]) > 20


@pytest.mark.parametrize("seed", range(2))
def test_all_protocols_at_once(seed: int, loop: SwappingEventLoop, tls: Tls) -> None:
    swapped(loop, KINDS, seed, tls)

    doing = {doing for _, doing in loop.swapped}
    assert doing >= {"reading", "sending", "paused", "half-closed"}


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_many_seeds(loop: SwappingEventLoop, tls: Tls) -> None:
    for seed in range(100):
        swapped(loop, KINDS, seed, tls)


@pytest.mark.soak
@pytest.mark.timeout(120 + 3 * SOAK_S)
def test_engines_change_every_50_ms_under_load_of_all_protocols(tls: Tls) -> None:
    or_skip("uring")
    loop = aioadapt.AdaptiveEventLoop(adapting=False)
    loop._look_every(None)
    growth = Growth()

    async def change_engines() -> None:
        while True:
            await asyncio.sleep(0.05)
            loop.prefer("epoll" if loop.engine == "uring" else "uring")

    async def soak() -> None:
        changing = asyncio.ensure_future(change_engines())
        ends_at = loop.time() + SOAK_S
        seed = 0
        while loop.time() < ends_at:
            seed += 1
            await converse(KINDS, random.Random(seed), tls)
            growth.round_ends(warming_up=loop.time() < ends_at - 0.6 * SOAK_S)
        changing.cancel()
        stats = loop.stats()
        _log.info("%d rounds of 8 clients of %d kinds: %s", seed, len(KINDS), stats)
        assert stats.swaps > 10 * seed

    loop.run_until_complete(soak())
    loop.run_until_complete(loop.shutdown_default_executor())
    assert loop.streams() == []
    assert loop.stats().in_kernel == 0
    loop.close()
    growth.assert_none()

"""Twenty engine changes a second, under load, lose nothing and leave nothing."""

import asyncio

import pytest
from soaking import ENDS_WITHIN_S, SOAK_S, Growth, come_to_rest, in_kernel, needs
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aioadapt import AdaptiveServer, Switch
from aioadapt.control.sample import Engine
from demo.adaptive import ENGINES, make_app
from demo.load import Load
from demo.options import Options
from demo.serve import BACKLOG, SERVER_SETTINGS

ROUNDS = 4
CLIENTS = 96
SWITCH_EVERY_S = 0.05
# The controller keeps the last 256 switches and decisions: the warm-up, the first
# half, must make more than that.
SECONDS = max(SOAK_S, 30.0)
NO_FAULTS = {"failed": 0, "lost": 0, "duplicated": 0, "misrouted": 0}

pytestmark = [pytest.mark.soak, pytest.mark.timeout(120 + 3 * SECONDS)]


def test_switches_every_50_ms_lose_nothing_and_leave_nothing() -> None:
    needs("uring")
    growth = Growth()

    async def soak() -> int:
        switches = 0
        # The server's own switches would interfere.
        async with AdaptiveServer(
            make_app,
            factory=True,
            port=0,
            adapt=False,
            log_level="warning",
            access_log=False,
            backlog=BACKLOG,
            uvicorn_settings=SERVER_SETTINGS,
        ) as server:
            # Listening is a kernel operation on io_uring, so measure on epoll.
            await server.switch("uring")
            await server.switch("epoll")
            threads = [server.controller.threads[engine] for engine in ENGINES]
            idle = [in_kernel(thread) for thread in threads]
            for number in range(ROUNDS):
                switches += await one_round(server, SECONDS / ROUNDS)
                await server.switch("epoll")
                await come_to_rest(threads, idle, HttpToolsProtocol)
                growth.round_ends(warming_up=number < ROUNDS // 2)
            stats = server.migrator.stats
            assert stats.closed == stats.returned == 0
        return switches

    assert asyncio.run(soak()) >= ROUNDS * (
        round(SECONDS / ROUNDS / SWITCH_EVERY_S) - 1
    )
    growth.assert_none()


async def one_round(server: AdaptiveServer, seconds: float) -> int:
    """How often the engine was changed; the clients must find no errors."""
    loop = asyncio.get_running_loop()
    load = await Load.start(
        server.addresses[0], Options(connections=CLIENTS), list(ENGINES)
    )
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            await load.connected.wait()
        begun = loop.time()
        switching: list[asyncio.Task[Switch]] = []
        for number in range(round(seconds / SWITCH_EVERY_S)):
            # Not awaited: each starts in the middle of the one before.
            to: Engine = "epoll" if number % 2 else "uring"
            switching.append(loop.create_task(server.switch(to)))
            await asyncio.sleep(begun + (number + 1) * SWITCH_EVERY_S - loop.time())
            if load.ended.done():
                break
        switches = await asyncio.gather(*switching)
        assert {switch.failed for switch in switches} == {""}
        outcome = await load.stop()
    finally:
        await load.kill()
    assert outcome["fault_examples"] == []
    assert {name: outcome[name] for name in NO_FAULTS} == NO_FAULTS
    assert outcome["changes"].keys() == {"epoll>uring", "uring>epoll"}
    return len(switches)

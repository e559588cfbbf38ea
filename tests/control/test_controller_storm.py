"""A storm on io_uring moves the live connections back to epoll in every situation."""

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from aioadapt import LoopThread, Switch, Thresholds, Verdict
from aioadapt.control.decide import Rule
from aioadapt.control.sample import Engine
from aioadapt.standby import controller

from .grounds import EAGER, Grounds, needs_uring, run, until

pytestmark = needs_uring

# The promised limit, on any machine.
BACK_WITHIN_S = 2.0

# The default tick and storm length; the load never causes a switch.
REAL_TIME = Thresholds(up_connections=None, down_connections=0)


class Stopwatch:
    """Subtracts the time taken by other processes: the longest time that one of our
    threads was ready to run but had no core."""

    def __init__(self) -> None:
        self._began_at, self._waited_s = time.monotonic(), waited_s()

    def passed_s(self) -> float:
        waited = [now - self._waited_s.get(t, 0.0) for t, now in waited_s().items()]
        return time.monotonic() - self._began_at - max(waited)


def waited_s() -> dict[str, float]:
    """How long each thread was ready to run but had no core."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return found


STORMS = [{"errors": 5000}, {"enobufs": 500_000}, {"cq_overflows": 50_000}]


@pytest.mark.parametrize("storm", STORMS, ids=lambda storm: next(iter(storm)))
def test_live_connections_are_back_within_two_seconds(storm: dict[str, int]) -> None:
    async def main() -> tuple[Switch, float]:
        async with Grounds("uring", REAL_TIME) as grounds:
            await grounds.call(24)
            idle = [await grounds.peer() for _ in range(8)]

            stopwatch = Stopwatch()
            grounds.storms("uring", **storm)
            await until(lambda: grounds.controller.active == "epoll")
            await until(lambda: grounds.on("epoll") == 32)
            back_s = stopwatch.passed_s()

            assert [await grounds.asks(peer) for peer in idle] == ["epoll"] * 8
            await until(lambda: grounds.controller.switches)
            (switch,) = grounds.controller.switches
            return switch, back_s

    switch, back_s = run(main())

    assert back_s < BACK_WITHIN_S
    assert switch.decision is not None
    assert switch.decision.verdict is Verdict.REVERT
    assert switch.moved == 32


def test_pinned_to_io_uring_a_storm_reverts_all_the_same() -> None:
    async def main() -> None:
        async with Grounds("uring", REAL_TIME, adapting=False) as grounds:
            peer = await grounds.peer()
            grounds.storms("uring", errors=5000)
            await until(lambda: grounds.on("epoll") == 1)
            assert await grounds.asks(peer) == "epoll"

    run(main())


def test_a_storm_does_not_wait_for_a_drain_that_waits_for_a_busy_connection() -> None:
    """The drain to io_uring lasts as long as one connection is busy."""

    async def main() -> float:
        async with Grounds("epoll", REAL_TIME) as grounds:
            busy = await grounds.peer()
            await grounds.call(8)
            busy.sock.sendall(b"GET /half HTTP/1.1\r\n")
            await until(
                lambda: any(
                    not one._stream.quiet for one in grounds.thread("epoll").connections
                )
            )
            await grounds.controller.switch("uring")
            await until(lambda: grounds.on("uring") == 8)
            assert grounds.on("epoll") == 1

            stopwatch = Stopwatch()
            grounds.storms("uring", errors=5000)
            await until(lambda: grounds.on("epoll") == 9)
            back_s = stopwatch.passed_s()

            busy.sock.sendall(b"Content-Length: 0\r\n\r\n")
            assert await asyncio.to_thread(busy.hear, "/half") == "epoll"
            return back_s

    assert run(main()) < BACK_WITHIN_S


def test_after_a_storm_the_load_does_not_go_up_for_a_time() -> None:
    async def main() -> None:
        thresholds = replace(EAGER, cooldown_s=0.0, revert_lock_s=0.8)
        async with Grounds("epoll", thresholds) as grounds:
            await grounds.call(8)
            await until(lambda: grounds.controller.active == "uring")
            end = grounds.storms("uring", errors=5000)
            await until(lambda: grounds.controller.active == "epoll")
            end()
            await until(
                lambda: grounds.controller.decisions[-1].rule is Rule.AFTER_STORM
            )
            held_back = grounds.controller.decisions[-1]
            await until(lambda: len(grounds.controller.switches) == 3)

            _, back, again = grounds.controller.switches
            assert again.at_s - back.at_s >= 0.8
            assert "forced a return to epoll" in held_back.reason
            assert held_back.otherwise.startswith("another ")

    run(main())


def test_a_revert_that_fails_is_tried_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert controller.REVERT_RETRY_S <= 1.0
    monkeypatch.setattr(controller, "REVERT_RETRY_S", 0.4)
    tried: list[Engine] = []

    class Short(Grounds):
        async def standby(self, engine: Engine) -> LoopThread:
            tried.append(engine)
            if len(tried) == 1:
                raise OSError(24, "too many open files")
            return await super().standby(engine)

    async def main() -> None:
        async with Short("uring", replace(REAL_TIME, cooldown_s=600.0)) as grounds:
            peer = await grounds.peer()
            grounds.storms("uring", errors=5000)
            await until(lambda: grounds.on("epoll") == 1)

            await until(lambda: len(grounds.controller.switches) == 2)
            failed, done = grounds.controller.switches
            assert failed.failed == "OSError: [Errno 24] too many open files"
            assert done.failed == ""
            assert done.at_s - failed.at_s >= 0.4
            assert await grounds.asks(peer) == "epoll"

    run(main())
    assert tried == ["epoll", "epoll"]

"""A controller over two real loop threads: which one serves, and what is recorded."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from migration.real import Place

from aioadapt import Decision, LoopThread, Switch, UringUnavailableError, Verdict
from aioadapt.control.decide import Rule
from aioadapt.control.sample import Engine

from .grounds import EAGER, UNDECIDED, Grounds, also_serving, needs_uring, run, until

pytestmark = needs_uring


def test_new_and_live_connections_follow_a_switch() -> None:
    async def main() -> tuple[Switch, list[str], int]:
        async with Grounds() as grounds:
            await grounds.call(8)
            peer = await grounds.peer()

            switch = await grounds.controller.switch("uring")

            answered = [
                await grounds.asks(peer),
                await grounds.asks(await grounds.peer()),
            ]
            assert grounds.controller.active == "uring"
            assert grounds.controller.switches == (switch,)
            return switch, answered, grounds.on("epoll")

    switch, answered, left = run(main())

    assert answered == ["uring", "uring"]
    assert left == 0
    assert (switch.source, switch.to, switch.failed) == ("epoll", "uring", "")
    assert (switch.connections, switch.moved, switch.left) == (9, 9, {})
    assert len(switch.pauses_s) == 9
    assert switch.first_moved_s is not None
    assert switch.last_moved_s is not None
    assert 0 < switch.first_moved_s <= switch.last_moved_s
    assert switch.decision is not None
    assert switch.decision.verdict is Verdict.ASKED


def test_the_standby_is_made_when_it_is_first_needed_and_once() -> None:
    async def main() -> None:
        async with Grounds() as grounds:
            assert list(grounds.controller.threads) == ["epoll"]
            made: list[LoopThread] = []
            for to in ("uring", "epoll", "uring"):
                await grounds.controller.switch(to)
                made.append(grounds.controller.threads["uring"])

            assert set(grounds.controller.threads) == {"epoll", "uring"}
            assert made == [grounds.thread("uring")] * 3

    run(main())


def test_the_engine_follows_the_load_up_and_down() -> None:
    async def main() -> None:
        told: list[Decision] = []
        # Callers come and go one by one, which takes several ticks on a busy machine.
        thresholds = replace(EAGER, down_connections=1)
        async with Grounds(
            thresholds=thresholds, on_decision=told.append, watching=False
        ) as grounds:
            callers = await grounds.call(8)
            grounds.watch()
            await until(lambda: grounds.controller.switches)
            await until(lambda: grounds.on("uring") == 8)

            for caller in callers[1:]:
                await asyncio.to_thread(caller.hang_up, 5.0)
                caller.peer.close()
            await until(lambda: len(grounds.controller.switches) == 2)
            await until(lambda: grounds.on("epoll") == 1)

            up, down = grounds.controller.switches
        assert (up.source, up.to, up.moved) == ("epoll", "uring", 8)
        assert (down.source, down.to, down.moved) == ("uring", "epoll", 1)
        assert up.decision is not None
        assert up.decision.verdict is Verdict.SWITCH
        assert up.decision.sample.connections == 8
        assert up.reason == "8 connections, at or above the threshold of 6, for 2 ticks"
        assert down.at_s - up.at_s >= EAGER.cooldown_s
        assert {up.decision, down.decision} <= set(told)

    run(main())


def test_decisions_to_stay_in_a_row_are_one_record() -> None:
    async def main() -> None:
        told: list[Decision] = []
        async with Grounds(on_decision=told.append) as grounds:
            await until(lambda: grounds.controller.decisions)
            first = grounds.controller.decisions[0]
            await until(lambda: grounds.controller.decisions[0].at_s > first.at_s + 0.2)

            (now,) = grounds.controller.decisions
            assert now.rule is first.rule is Rule.NEVER_UP
            assert told == [first]

    run(main())


def test_without_moving_only_new_connections_are_routed() -> None:
    async def main() -> None:
        async with Grounds(move=False) as grounds:
            old = await grounds.peer()

            switch = await grounds.controller.switch("uring")
            new = await grounds.peer()

            assert await grounds.asks(new) == "uring"
            assert await grounds.asks(old) == "epoll"
            assert (switch.connections, switch.moved) == (1, 0)
            # Nor later, when it looks for connections left behind.
            seen = grounds.controller.decisions[-1].at_s
            await until(lambda: grounds.controller.decisions[-1].at_s > seen + 0.2)
            assert await grounds.asks(old) == "epoll"
            assert grounds.controller.switches == (switch,)

    run(main())


def test_a_busy_connection_follows_when_it_is_quiet() -> None:
    async def main() -> None:
        async with Grounds() as grounds:
            busy = await grounds.peer()
            busy.sock.sendall(b"GET /half HTTP/1.1\r\n")
            await until(lambda: not grounds.thread("epoll").connections[0].quiet)

            switch = await grounds.controller.switch("uring")
            assert (switch.moved, sum(switch.left.values())) == (0, 1)

            busy.sock.sendall(b"Content-Length: 0\r\n\r\n")
            assert await asyncio.to_thread(busy.hear, "/half") == "epoll"
            await until(lambda: grounds.on("uring") == 1)
            assert await grounds.asks(busy) == "uring"
            await until(lambda: grounds.controller.switches[-1].moved == 1)
            (late,) = grounds.controller.switches
            assert late.left == {}
            assert late.last_moved_s is not None
            assert late.last_moved_s > 0.9, "when the switch was reported it was busy"

    run(main())


def test_a_switch_back_ends_what_the_earlier_one_still_asks_for() -> None:
    async def main() -> None:
        async with Grounds() as grounds:
            busy = await grounds.peer()
            busy.sock.sendall(b"GET /half HTTP/1.1\r\n")
            await until(lambda: not grounds.thread("epoll").connections[0].quiet)
            await grounds.controller.switch("uring")
            await grounds.controller.switch("epoll")

            busy.sock.sendall(b"Content-Length: 0\r\n\r\n")
            assert await asyncio.to_thread(busy.hear, "/half") == "epoll"
            # Much longer than it would take to move it there and back.
            for _ in range(20):
                await asyncio.sleep(grounds.controller.thresholds.tick_s)
                assert await grounds.asks(busy) == "epoll"
            assert grounds.migrator.stats.moves == {}

    run(main())


def test_who_is_left_behind_without_a_switch_follows_too() -> None:
    """For example, one accepted just before the listener closed."""

    async def main() -> None:
        async with Grounds() as grounds:
            await grounds.controller.switch("uring")
            await grounds.controller.switch("epoll")
            peer = await grounds.peer()
            (connection,) = grounds.thread("epoll").connections
            await grounds.migrator.move(connection, to=grounds.thread("uring"))

            await until(lambda: grounds.on("epoll") == 1)

            assert await grounds.asks(peer) == "epoll"

    run(main())


def test_a_server_that_is_started_later_does_not_accept_on_the_standby() -> None:
    async def main() -> None:
        async with Grounds() as grounds:
            await grounds.controller.switch("uring")
            thread = grounds.thread("epoll")

            def accepting() -> list[bool]:
                loop: Any = thread.loop
                return [one.is_accepting for one in loop.listeners.values()]

            with also_serving(thread, grounds.listener):
                assert len(accepting()) == 2
                await until(lambda: not any(accepting()))

    run(main())


def test_to_the_engine_that_is_active_there_is_nothing_to_do() -> None:
    async def main() -> None:
        async with Grounds() as grounds:
            await grounds.peer()
            switch = await grounds.controller.switch("epoll")

            assert (switch.source, switch.to, switch.moved) == ("epoll", "epoll", 0)
            assert grounds.controller.switches == ()
            assert grounds.on("epoll") == 1

    run(main())


def test_back_and_forth_under_load_nothing_is_lost() -> None:
    """Each switch cancels the previous one, at whatever point that is."""

    async def main() -> None:
        async with Grounds() as grounds:
            callers = await grounds.call(16)
            engines: list[Engine] = ["uring", "epoll"] * 20
            pending: list[asyncio.Task[Switch]] = []
            for to in engines:
                pending.append(asyncio.create_task(grounds.controller.switch(to)))
                await asyncio.sleep(0.02)
            switches = await asyncio.gather(*pending)
            await until(lambda: grounds.on("epoll") == 16)

            assert grounds.controller.active == "epoll"
            assert [switch.failed for switch in switches] == [""] * 40
            assert sum(switch.moved for switch in switches) > 0
            assert sum(caller.peer.asked for caller in callers) > 16
        assert all(caller.failed is None for caller in callers)

    run(main())


# -- what goes wrong


def test_a_standby_that_cannot_be_had_is_told_and_not_asked_for_at_each_tick(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[Engine] = []

    async def standby(engine: Engine) -> LoopThread:
        asked.append(engine)
        raise UringUnavailableError(1, "cannot set up an io_uring (seccomp)")

    async def main() -> None:
        thresholds = replace(EAGER, cooldown_s=0.4)
        async with Grounds(
            thresholds=thresholds, standby=standby, watching=False
        ) as grounds:
            await grounds.call(8)
            grounds.watch()
            await until(lambda: len(grounds.controller.switches) == 2)
            first, second = grounds.controller.switches

            assert asked == ["uring", "uring"]
            assert second.at_s - first.at_s >= 0.4
            assert first.failed.startswith(
                "UringUnavailableError: [Errno 1] cannot set"
            )
            assert (first.moved, first.connections) == (0, 8)
            assert grounds.controller.active == "epoll"
            assert await grounds.asks(await grounds.peer()) == "epoll"

    run(main())

    assert "Switch from epoll to uring failed, nothing changed" in caplog.text


def test_a_standby_without_the_server_is_not_switched_to() -> None:
    class Bare(Grounds):
        async def standby(self, engine: Engine) -> LoopThread:
            thread = await asyncio.to_thread(LoopThread(engine).start)
            self.places[engine] = Place(thread, self.listener)
            return thread

    async def main() -> None:
        async with Bare() as grounds:
            peer = await grounds.peer()
            switch = await grounds.controller.switch("uring")

            assert "NoServerError" in switch.failed
            assert grounds.controller.active == "epoll"
            assert await grounds.asks(peer) == "epoll"
            assert await grounds.asks(await grounds.peer()) == "epoll"

    run(main())


def test_a_standby_that_has_stopped_is_made_anew() -> None:
    async def main() -> None:
        async with Grounds() as grounds:
            await grounds.controller.switch("uring")
            await grounds.controller.switch("epoll")
            stopped = grounds.thread("uring")
            await asyncio.to_thread(grounds.places["uring"].stop)

            switch = await grounds.controller.switch("uring")

            assert switch.failed == ""
            assert grounds.thread("uring") is not stopped
            assert await grounds.asks(await grounds.peer()) == "uring"

    run(main())


def test_a_tick_that_fails_is_logged_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with Grounds() as grounds:
            loop = grounds.thread("epoll").loop
            real, failures = loop.stats, iter([OSError("no counters today")] * 2)

            def stats() -> object:
                for failure in failures:
                    raise failure
                return real()

            loop.stats = stats  # type: ignore[method-assign, assignment]
            await until(lambda: grounds.controller.decisions)

    with caplog.at_level(logging.ERROR, logger="aioadapt.control"):
        run(main())

    failed = [record for record in caplog.records if record.exc_info]
    assert [str(r.exc_info[1]) for r in failed if r.exc_info] == [
        "no counters today"
    ] * 2


def test_a_listener_to_decisions_that_fails_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def on_decision(decision: Decision) -> None:
        raise RuntimeError("no listener today")

    async def main() -> None:
        async with Grounds(thresholds=EAGER, on_decision=on_decision) as grounds:
            await grounds.call(8)
            await until(lambda: grounds.on("epoll") == 0)
            assert grounds.controller.active == "uring"

    run(main())

    assert "no listener today" in caplog.text


def test_switches_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Grounds(thresholds=UNDECIDED) as grounds:
            await grounds.peer()
            await grounds.controller.switch("uring", reason="the operator said so")

    with caplog.at_level(logging.INFO, logger="aioadapt.control"):
        run(main())

    assert "Switching from epoll to uring: the operator said so" in caplog.messages
    assert "Switched from epoll to uring: 1 of 1 connections moved" in caplog.text

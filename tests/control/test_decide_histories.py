"""decide(), driven tick by tick through generated histories.

The rules are implemented a second time here, in the simplest way: over the whole
history, regardless of cost.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aioadapt.control.decide import Decision, Verdict, decide
from aioadapt.control.sample import Engine, Sample
from aioadapt.control.thresholds import Thresholds

from .ticks import BUSY, change

# Times are sums of floats.
ROUNDING_S = 1e-6

UNHURRIED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@dataclass
class Tick:
    """The input of one tick; *asked* is an engine forced just before it."""

    seconds: float
    # None: a load that favors the inactive engine.
    sample: Sample | None
    asked: Engine | None = None


@dataclass
class World:
    thresholds: Thresholds
    active: Engine = "epoll"
    now_s: float = 1000.0
    adapting: bool = True
    # A switch whose standby cannot start changes nothing, but is recorded.
    fails: bool = False
    samples: list[Sample] = field(default_factory=list)
    made: list[tuple[Engine, Decision]] = field(default_factory=list)

    @property
    def changes(self) -> list[Decision]:
        return [d for _, d in self.made if d.verdict is not Verdict.STAY]

    def tick(self, tick: Tick) -> Decision:
        self.now_s += tick.seconds
        if tick.asked is not None and tick.asked != self.active:
            self.made.append(
                (self.active, change(Verdict.ASKED, self.now_s, tick.asked))
            )
            self.active = tick.asked
        sample = tick.sample or replace(
            BUSY, connections=5000 if self.active == "epoll" else 1
        )
        self.samples.append(replace(sample, at_s=self.now_s, seconds=tick.seconds))
        decision = decide(
            self.samples[-8:],
            self.changes,
            self.now_s,
            active=self.active,
            thresholds=self.thresholds,
            adapting=self.adapting,
        )
        self.made.append((self.active, decision))
        if not self.fails:
            self.active = decision.to
        return decision


# Short times, so that a few dozen ticks reach every limit.
thresholds = st.builds(
    Thresholds,
    tick_s=st.sampled_from([0.05, 0.25]),
    up_connections=st.sampled_from([50, None]),
    down_connections=st.just(20),
    snap_connections=st.sampled_from([50, 200]),
    sustain_ticks=st.integers(1, 4),
    cooldown_s=st.sampled_from([0.0, 0.5, 2.0, 10.0]),
    lock_switches=st.integers(1, 4),
    lock_window_s=st.sampled_from([1.0, 5.0, 60.0]),
    lock_s=st.sampled_from([0.0, 3.0, 60.0]),
    large_payload_bytes=st.just(10_000),
    storm_ticks=st.integers(1, 3),
    revert_lock_s=st.sampled_from([0.0, 1.0, 5.0, 60.0]),
)
samples = st.builds(
    replace,
    st.just(BUSY),
    connections=st.sampled_from([0, 1, 20, 21, 49, 50, 199, 200, 5000]),
    requests_per_s=st.sampled_from([0.0, 5000.0]),
    bytes_per_request=st.sampled_from([300.0, 300.0, 300.0, 50_000.0]),
    events_per_s=st.sampled_from([0.0, 5000.0, 5000.0]),
    errors_per_s=st.sampled_from([0.0, 0.0, 0.0, 1.0, 2000.0]),
    enobufs_per_s=st.sampled_from([0.0, 0.0, 0.0, 500.0, 4900.0]),
    cq_overflows_per_s=st.sampled_from([0.0, 0.0, 0.0, 1.0, 900.0]),
)
# Most loads call for a switch, so that the rules against one apply.
storming = st.just(replace(BUSY, errors_per_s=5000.0))
ticks = st.builds(
    Tick,
    seconds=st.sampled_from([0.25, 0.25, 0.25, 0.01, 0.7, 3.0, 70.0]),
    sample=st.none() | st.none() | storming | samples,
    asked=st.sampled_from([None] * 9 + ["epoll", "uring"]),
)
# Each load lasts for several ticks.
histories = st.lists(st.tuples(ticks, st.integers(1, 8)), min_size=1, max_size=20).map(
    lambda runs: [tick for tick, times in runs for _ in range(times)]
)
worlds = st.builds(
    World,
    thresholds=thresholds,
    active=st.sampled_from(["epoll", "uring"]),
    fails=st.sampled_from([False, False, False, True]),
)


# Only the lock prevents a switch.
oscillating = st.builds(
    World,
    thresholds=st.builds(
        Thresholds,
        sustain_ticks=st.just(1),
        cooldown_s=st.just(0.0),
        lock_switches=st.integers(1, 4),
        lock_window_s=st.sampled_from([1.0, 5.0]),
        lock_s=st.sampled_from([2.0, 3.0, 20.0]),
        revert_lock_s=st.just(0.0),
    ),
    active=st.sampled_from(["epoll", "uring"]),
)


def is_bad(sample: Sample, t: Thresholds) -> bool:
    def storms(per_s: float, of_per_s: float, share: float) -> bool:
        enough = round(per_s * sample.seconds) >= t.storm_count
        return enough and per_s >= share * of_per_s

    return (
        storms(
            sample.errors_per_s,
            sample.errors_per_s + sample.requests_per_s,
            t.error_share,
        )
        or storms(sample.enobufs_per_s, sample.events_per_s, t.enobufs_share)
        or storms(
            sample.cq_overflows_per_s, sample.iterations_per_s, t.cq_overflow_share
        )
    )


def all_decided(world: World, history: list[Tick]) -> list[tuple[Engine, Decision]]:
    for tick in history:
        world.tick(tick)
    return world.made


@UNHURRIED
@given(worlds, histories)
def test_never_two_switches_within_the_cool_down(
    world: World, history: list[Tick]
) -> None:
    all_decided(world, history)

    for before, after in zip(world.changes, world.changes[1:], strict=False):
        if after.verdict is Verdict.SWITCH:
            assert after.at_s - before.at_s >= world.thresholds.cooldown_s - ROUNDING_S


@UNHURRIED
@given(worlds | oscillating, histories)
def test_never_a_switch_while_locked(world: World, history: list[Tick]) -> None:
    t = world.thresholds
    all_decided(world, history)

    changes = [d for d in world.changes if d.verdict is not Verdict.ASKED]
    for number, switch in enumerate(changes):
        if switch.verdict is not Verdict.SWITCH:
            continue
        earlier = [d.at_s for d in changes[:number]]
        for ends in earlier:
            within = [
                at
                for at in earlier
                if ends - t.lock_window_s + ROUNDING_S <= at <= ends
            ]
            if len(within) >= t.lock_switches:
                assert switch.at_s - ends >= t.lock_s - ROUNDING_S


@UNHURRIED
@given(worlds, histories)
def test_never_up_again_soon_after_a_storm(world: World, history: list[Tick]) -> None:
    all_decided(world, history)

    storms_at_s: list[float] = []
    for active, decision in world.made:
        if decision.verdict is Verdict.REVERT:
            storms_at_s.append(decision.at_s)
        if decision.verdict is Verdict.SWITCH and active == "epoll":
            for at_s in storms_at_s:
                assert (
                    decision.at_s - at_s >= world.thresholds.revert_lock_s - ROUNDING_S
                )


@UNHURRIED
@given(worlds, histories, st.booleans())
def test_a_revert_exactly_in_a_storm_on_io_uring(
    world: World, history: list[Tick], adapting: bool
) -> None:
    world.adapting = adapting
    for tick in history:
        decision = world.tick(tick)
        last = world.samples[-world.thresholds.storm_ticks :]
        storm = len(last) == world.thresholds.storm_ticks and all(
            is_bad(sample, world.thresholds) for sample in last
        )

        expected = storm and decision.active == "uring"
        assert (decision.verdict is Verdict.REVERT) == expected
        assert adapting or decision.verdict is not Verdict.SWITCH


@UNHURRIED
@given(
    worlds,
    histories,
    st.sampled_from(["errors_per_s", "enobufs_per_s", "cq_overflows_per_s"]),
    st.floats(0.0, 1.0),
    st.lists(st.floats(1.0, 1.5), min_size=12, max_size=12),
)
def test_a_storm_is_answered_in_time_whatever_came_before(
    world: World, history: list[Tick], kind: str, phase: float, late: list[float]
) -> None:
    """Within a second, which leaves another one to move the connections back; the
    storm starts anywhere in a tick.  If ticks are late by up to a half, as on a
    busy machine, so is the revert.  (test_controller_storm.py measures when live
    connections are back.)"""
    all_decided(world, history)
    if world.active == "epoll":
        world.active = "uring"
        world.made.append(("epoll", change(Verdict.ASKED, world.now_s, "uring")))
    tick_s = world.thresholds.tick_s
    began_s = world.now_s + phase * tick_s

    for number, factor in enumerate(late):
        # The storm covers only part of the first tick: enough to count, or not.
        part = 1.0 - phase if number == 0 else 1.0
        storming: dict[str, Any] = {kind: 5000.0 * part}
        sample = replace(BUSY, **storming)
        decision = world.tick(Tick(tick_s * factor, sample))
        if decision.verdict is Verdict.REVERT:
            break
    else:
        pytest.fail("no revert")

    assert world.now_s - began_s <= 1.5


@UNHURRIED
@given(worlds, histories)
def test_every_decision_is_whole(world: World, history: list[Tick]) -> None:
    for active, decision in all_decided(world, history):
        assert decision.reason
        assert decision.otherwise
        assert decision.active == active
        if decision.verdict is Verdict.STAY:
            assert decision.to == active
        else:
            assert decision.to != active
        if decision.verdict is Verdict.REVERT:
            assert decision.to == "epoll"


@UNHURRIED
@given(worlds, histories)
def test_the_same_is_decided_of_the_same(world: World, history: list[Tick]) -> None:
    """It is pure: a decision can be reproduced from its record."""
    all_decided(world, history)
    last = world.made[-1][1]
    past = [d for _, d in world.made[:-1] if d.verdict is not Verdict.STAY]

    again = decide(
        world.samples[-8:],
        past,
        last.at_s,
        active=last.active,
        thresholds=world.thresholds,
    )

    assert again == last

"""One decision: its inputs and its reason."""

from dataclasses import replace

import pytest

from aioadapt.control.decide import Decision, Rule, Verdict
from aioadapt.control.sample import Engine, Sample

from .ticks import (
    BUSY,
    ENOBUFS,
    ERRORS,
    OVERFLOWS,
    T,
    change,
    connections,
    decided,
)

QUIET = replace(BUSY, connections=800, events_per_s=49.0, requests_per_s=20.0)
LARGE = replace(BUSY, connections=800, bytes_per_request=10_000.0)
STREAMED = replace(
    BUSY, connections=800, requests_per_s=0.0, bytes_per_request=0.0,
    bytes_per_event=60_000.0,
)  # fmt: skip
MESSAGES = replace(STREAMED, bytes_per_event=200.0)


@pytest.mark.parametrize(
    ("active", "samples", "verdict", "rule"),
    [
        ("epoll", [], Verdict.STAY, Rule.NOTHING_MEASURED),
        ("epoll", connections(99, 99, 99), Verdict.STAY, Rule.CONNECTIONS),
        ("epoll", connections(100), Verdict.STAY, Rule.NOT_SUSTAINED),
        ("epoll", connections(100, 100), Verdict.STAY, Rule.NOT_SUSTAINED),
        ("epoll", connections(100, 99, 100, 100), Verdict.STAY, Rule.NOT_SUSTAINED),
        ("epoll", connections(100, 100, 100), Verdict.SWITCH, Rule.SUSTAINED),
        ("epoll", connections(0, 499), Verdict.STAY, Rule.NOT_SUSTAINED),
        ("epoll", connections(0, 500), Verdict.SWITCH, Rule.BURST),
        ("uring", connections(41, 41, 41), Verdict.STAY, Rule.CONNECTIONS),
        ("uring", connections(40, 40), Verdict.STAY, Rule.NOT_SUSTAINED),
        ("uring", connections(40, 40, 40), Verdict.SWITCH, Rule.SUSTAINED),
        # Between the two thresholds either engine stays.
        ("epoll", connections(70, 70, 70), Verdict.STAY, Rule.CONNECTIONS),
        ("uring", connections(70, 70, 70), Verdict.STAY, Rule.CONNECTIONS),
        ("epoll", [QUIET] * 3, Verdict.STAY, Rule.QUIET),
        (
            "uring",
            [replace(QUIET, connections=1)] * 3,
            Verdict.STAY,
            Rule.QUIET,
        ),
        ("epoll", [LARGE] * 3, Verdict.STAY, Rule.LARGE_PAYLOADS),
        (
            "uring",
            [replace(LARGE, connections=1)] * 3,
            Verdict.STAY,
            Rule.LARGE_PAYLOADS,
        ),
        (
            "epoll",
            [replace(LARGE, bytes_per_request=9_999.0)] * 3,
            Verdict.SWITCH,
            Rule.BURST,
        ),
        # If no request is answered, bytes per event decide.
        ("epoll", [STREAMED] * 3, Verdict.STAY, Rule.LARGE_PAYLOADS),
        ("epoll", [MESSAGES] * 3, Verdict.SWITCH, Rule.BURST),
        # Quiet ticks and ticks with large payloads do not count.
        (
            "epoll",
            [
                replace(LARGE, connections=100),
                *connections(100, 100),
            ],
            Verdict.STAY,
            Rule.NOT_SUSTAINED,
        ),
    ],
)
def test_the_load_asks_for_an_engine(
    active: Engine, samples: list[Sample], verdict: Verdict, rule: Rule
) -> None:
    decision = decided(samples, active=active)

    assert (decision.verdict, decision.rule) == (verdict, rule)
    assert (decision.to == active) == (verdict is Verdict.STAY)


@pytest.mark.parametrize("bad", [ERRORS, ENOBUFS, OVERFLOWS])
def test_a_storm_brings_everything_back(bad: Sample) -> None:
    decision = decided([BUSY, bad, bad], active="uring")

    assert (decision.verdict, decision.to) == (Verdict.REVERT, "epoll")


def test_a_storm_may_change_its_kind() -> None:
    assert decided([ERRORS, ENOBUFS], active="uring").verdict is Verdict.REVERT


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param([ERRORS, BUSY], id="it is over"),
        pytest.param([BUSY, ERRORS], id="one bad tick"),
        pytest.param([ERRORS], id="one tick in all"),
        # 19 in a quarter of a second are too few in any case.
        pytest.param([replace(ERRORS, errors_per_s=76.0, requests_per_s=0.0)] * 2),
        pytest.param([replace(ERRORS, errors_per_s=4.0, requests_per_s=0.0)] * 2),
        # 1 in 11, and 1 in 3: ordinary under load.
        pytest.param([replace(ERRORS, errors_per_s=400.0)] * 2),
        pytest.param([replace(ENOBUFS, enobufs_per_s=1300.0)] * 2),
        pytest.param([replace(OVERFLOWS, cq_overflows_per_s=199.0)] * 2),
    ],
)
def test_what_is_no_storm(samples: list[Sample]) -> None:
    assert decided(samples, active="uring").verdict is Verdict.STAY


def test_a_storm_on_epoll_changes_nothing() -> None:
    """It is already on the engine to revert to."""
    assert decided([ERRORS] * 3, active="epoll").verdict is Verdict.STAY


def test_a_storm_in_which_nothing_is_answered_is_one() -> None:
    nothing = replace(
        ERRORS, requests_per_s=0.0, events_per_s=0.0, iterations_per_s=0.0
    )

    assert decided([nothing] * 2, active="uring").verdict is Verdict.REVERT


def test_a_revert_passes_the_cool_down_and_the_lock() -> None:
    history = [
        change(Verdict.SWITCH, 997.0, "uring"),
        change(Verdict.SWITCH, 998.0, "epoll"),
        change(Verdict.SWITCH, 999.9, "uring"),
    ]

    decision = decided([ERRORS] * 2, active="uring", history=history)

    assert decision.verdict is Verdict.REVERT


MANY = connections(800)
FEW = connections(1, 1, 1)


@pytest.mark.parametrize(
    ("active", "history", "rule"),
    [
        ("epoll", [(Verdict.SWITCH, 990.1, "epoll")], Rule.COOLDOWN),
        ("epoll", [(Verdict.SWITCH, 990.0, "epoll")], None),
        ("uring", [(Verdict.SWITCH, 990.1, "uring")], Rule.COOLDOWN),
        ("uring", [(Verdict.ASKED, 990.1, "uring")], Rule.COOLDOWN),
        ("epoll", [(Verdict.REVERT, 800.1, "epoll")], Rule.AFTER_STORM),
        ("epoll", [(Verdict.REVERT, 800.0, "epoll")], None),
        # Someone forced a switch up since; the load may switch it down.
        (
            "uring",
            [(Verdict.REVERT, 900.0, "epoll"), (Verdict.ASKED, 950.0, "uring")],
            None,
        ),
        (
            "uring",
            [
                (Verdict.SWITCH, 850.0, "uring"),
                (Verdict.SWITCH, 880.0, "epoll"),
                (Verdict.SWITCH, 905.0, "uring"),
            ],
            Rule.LOCKED,
        ),
        # Three switches in more than a minute.
        (
            "uring",
            [
                (Verdict.SWITCH, 844.0, "uring"),
                (Verdict.SWITCH, 880.0, "epoll"),
                (Verdict.SWITCH, 905.0, "uring"),
            ],
            None,
        ),
        # The lock has expired.
        (
            "uring",
            [
                (Verdict.SWITCH, 880.0, "uring"),
                (Verdict.SWITCH, 890.0, "epoll"),
                (Verdict.SWITCH, 900.0, "uring"),
            ],
            None,
        ),
        # Forced switches do not count as oscillation.
        (
            "uring",
            [(Verdict.ASKED, 900.0 + i, "epoll") for i in range(20)],
            None,
        ),
        # A revert late in a lock does not end the lock.
        (
            "epoll",
            [
                (Verdict.SWITCH, 500.0, "uring"),
                (Verdict.SWITCH, 910.0, "epoll"),
                (Verdict.SWITCH, 915.0, "uring"),
                (Verdict.SWITCH, 920.0, "epoll"),
                (Verdict.ASKED, 980.0, "uring"),
                (Verdict.REVERT, 985.0, "epoll"),
            ],
            Rule.LOCKED,
        ),
    ],
)
def test_what_holds_a_switch_back(
    active: Engine, history: list[tuple[Verdict, float, Engine]], rule: Rule | None
) -> None:
    decision = decided(
        MANY if active == "epoll" else FEW,
        active=active,
        history=[change(*entry) for entry in history],
        thresholds=replace(T, revert_lock_s=0.0) if rule is Rule.LOCKED else T,
    )

    if rule is None:
        assert decision.verdict is Verdict.SWITCH
    else:
        assert (decision.verdict, decision.rule) == (Verdict.STAY, rule)


def test_pinned_it_stays_but_in_a_storm() -> None:
    assert decided(MANY, adapting=False).rule is Rule.PINNED
    pinned = decided([ERRORS] * 2, active="uring", adapting=False)
    assert pinned.verdict is Verdict.REVERT


def test_where_io_uring_was_never_better_nothing_goes_up() -> None:
    never = replace(T, up_connections=None)

    assert decided(MANY, thresholds=never).rule is Rule.NEVER_UP
    assert decided(FEW, active="uring", thresholds=never).to == "epoll"


def said(decision: Decision) -> tuple[str, str]:
    return decision.reason, decision.otherwise


@pytest.mark.parametrize(
    ("decision", "reason", "otherwise"),
    [
        (
            decided(connections(128, 128)),
            "128 connections, at or above the threshold of 100, for 2 of 3 ticks",
            "one more tick with at least 100 connections",
        ),
        (
            decided(connections(1)),
            "1 connection, below the threshold of 100",
            "99 more connections",
        ),
        (
            decided(connections(2000)),
            "2,000 connections, at or above the burst threshold of 500",
            "there had been fewer than 500 connections (a switch then takes 3 ticks)",
        ),
        (
            decided(connections(45), active="uring"),
            "45 connections, above the threshold of 40",
            "5 fewer connections",
        ),
        (
            decided(connections(3, 3, 3), active="uring"),
            "3 connections, at or below the threshold of 40, for 3 ticks",
            "one of the last 3 ticks had shown more than 40 connections",
        ),
        (
            decided([QUIET]),
            "49 events per second: too little traffic to judge",
            "at least 50 events per second",
        ),
        (
            decided([LARGE]),
            "10,000 bytes per request: at this size neither engine is better",
            "fewer than 10,000 bytes per request",
        ),
        (
            decided([ERRORS] * 2, active="uring"),
            "1,000 errors in 0.25 s, 50% of the requests, for 2 ticks",
            "one of the last 2 ticks had shown fewer than 20 errors or a share below 10%",
        ),
        (
            decided(MANY, history=[change(Verdict.SWITCH, 992.5, "epoll")]),
            "800 connections, at or above the burst threshold of 500, but the last "
            "switch was 7.5 s ago and the cooldown is 10 s",
            "another 2.5 s",
        ),
    ],
)
def test_it_says_why_and_what_else_it_hung_on(
    decision: Decision, reason: str, otherwise: str
) -> None:
    assert said(decision) == (reason, otherwise)

"""Two readings of the counters become a sample of what happened in between."""

from dataclasses import replace

import pytest

from aioadapt import LoopStats
from aioadapt.control.sample import Sample, sample_between

NOTHING = LoopStats(
    engine="epoll", iterations=0, waits=0, callbacks=0, timers=0, busy_s=0.0, bytes_in=0,
    bytes_out=0, receives=0, sends=0, accepts=0, moves_in=0,
    moves_out=0, enobufs=0, connections=0,
)  # fmt: skip
THEN = replace(
    NOTHING, iterations=100, callbacks=300, busy_s=5.0, bytes_in=1000, bytes_out=2000,
    connections=7, events=400, requests=200, errors=3,
)  # fmt: skip
NOW = replace(
    THEN, iterations=200, callbacks=700, busy_s=5.4, bytes_in=21_000, bytes_out=82_000,
    connections=30, events=600, requests=300, errors=4,
)  # fmt: skip
URING = replace(
    NOTHING, engine="uring", iterations=50, callbacks=100, busy_s=0.1, connections=12,
    events=300, requests=100, bytes_in=20_000, bytes_out=80_000, enobufs=10,
    cq_overflows=2, errors=1,
)  # fmt: skip


def test_rates_of_one_loop() -> None:
    sample = sample_between(
        {"epoll": THEN}, {"epoll": NOW}, at_s=12.0, seconds=0.5, active="epoll"
    )

    assert replace(sample, busy_share=round(sample.busy_share, 6)) == Sample(
        at_s=12.0,
        seconds=0.5,
        connections=30,
        requests_per_s=200.0,
        callbacks_per_s=800.0,
        bytes_per_event=500.0,
        bytes_per_request=1000.0,
        events_per_iteration=2.0,
        busy_share=0.8,
        errors_per_s=2.0,
        events_per_s=400.0,
        iterations_per_s=200.0,
    )


def test_a_loop_that_was_made_meanwhile_counts_from_nothing() -> None:
    sample = sample_between(
        {"epoll": THEN},
        {"epoll": NOW, "uring": URING},
        at_s=12.0,
        seconds=0.5,
        active="uring",
    )

    assert sample.connections == 42
    assert sample.requests_per_s == 400.0
    assert sample.bytes_per_request == 1000.0
    assert sample.events_per_iteration == pytest.approx(500 / 150)
    assert sample.enobufs_per_s == 20.0
    assert sample.cq_overflows_per_s == 4.0
    assert sample.errors_per_s == 4.0
    assert sample.busy_share == pytest.approx(0.2), "of the active one alone"


def test_a_loop_in_the_place_of_one_that_ended_counts_from_nothing() -> None:
    sample = sample_between(
        {"epoll": NOW},
        {"epoll": replace(THEN, iterations=10, requests=5)},
        at_s=12.0,
        seconds=0.5,
        active="epoll",
    )

    assert sample.requests_per_s == 10.0


def test_a_loop_that_has_ended_is_not_looked_at() -> None:
    sample = sample_between(
        {"epoll": THEN, "uring": URING},
        {"epoll": NOW},
        at_s=12.0,
        seconds=0.5,
        active="epoll",
    )

    assert sample.connections == 30
    assert sample.enobufs_per_s == 0.0


def test_where_nothing_happens_nothing_is_divided_by() -> None:
    sample = sample_between(
        {"epoll": THEN}, {"epoll": THEN}, at_s=12.0, seconds=0.0, active="epoll"
    )

    assert sample == Sample(12.0, 1e-9, 7)

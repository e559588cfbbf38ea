"""Thresholds are derived from a table of comparisons."""

import pytest

from aioadapt import Thresholds
from aioadapt.measure.derive import derive
from aioadapt.measure.sweep import Cell, Comparison, compare, disturbance

NUMBERS = (1, 8, 32, 64, 128, 256, 512, 1024)
WINS, TIES, LOSES = 0.10, 0.0, -0.10


def row(
    connections: int, gain: float, size: int = 128, spread: float = 0.02
) -> Comparison:
    return Comparison(
        connections,
        size,
        20.0,
        20.0 * (1 - gain),
        1e4,
        1e4,
        gain,
        gain - spread,
        gain + spread,
    )


def small(*gains: float) -> list[Comparison]:
    return [row(number, gain) for number, gain in zip(NUMBERS, gains, strict=True)]


def test_up_is_where_io_uring_begins_to_win_and_down_is_below_half_of_it() -> None:
    table = small(LOSES, LOSES, TIES, TIES, WINS, WINS, WINS, WINS)

    found = derive(table).thresholds

    assert found.up_connections == 128
    assert found.down_connections == 64
    assert found.snap_connections == 256


def test_down_is_where_io_uring_did_not_win_where_that_is_lower_than_half() -> None:
    table = [row(8, TIES), row(64, WINS), row(512, WINS)]

    found = derive(table).thresholds

    assert (found.up_connections, found.down_connections) == (64, 8)


def test_no_difference_means_never() -> None:
    found = derive(small(*[TIES] * 8))

    assert found.thresholds.up_connections is None
    assert "nothing is gained" in found.reasons[0]
    assert found.thresholds.large_payload_bytes == Thresholds().large_payload_bytes


def test_epoll_better_everywhere_means_never() -> None:
    assert derive(small(*[LOSES] * 8)).thresholds.up_connections is None


def test_a_win_in_the_middle_that_is_lost_again_means_never() -> None:
    table = small(LOSES, TIES, WINS, WINS, WINS, TIES, LOSES, LOSES)

    assert derive(table).thresholds.up_connections is None


def test_one_round_that_spreads_does_not_hide_what_the_others_show() -> None:
    table = small(LOSES, LOSES, TIES, TIES, WINS, WINS, WINS, WINS)
    table[-1] = row(1024, 0.15, spread=0.2)

    assert table[-1].verdict == "tie"
    assert derive(table).thresholds.up_connections == 128


def test_io_uring_better_from_the_first_connection_on() -> None:
    found = derive(small(*[WINS] * 8))

    assert found.thresholds.up_connections == 1
    assert found.thresholds.down_connections == 0
    assert "even with one connection" in found.reasons[1]


def test_large_payloads_begin_at_the_first_size_without_a_majority() -> None:
    table = small(LOSES, LOSES, TIES, TIES, WINS, WINS, WINS, WINS)
    table += [row(n, WINS, 2048) for n in (8, 64, 256, 1024)]
    # Below up_connections the engine is epoll anyway, so it does not matter which wins.
    table += [row(8, WINS, 8192), row(64, WINS, 8192)]
    table += [row(256, WINS, 8192), row(1024, TIES, 8192)]
    table += [row(n, LOSES, 65_536) for n in (8, 64, 256, 1024)]

    assert derive(table).thresholds.large_payload_bytes == 8192


def test_where_io_uring_wins_at_every_size_nothing_measured_is_large() -> None:
    table = [*small(*[WINS] * 8), row(256, WINS, 65_536)]

    assert derive(table).thresholds.large_payload_bytes == 131_072


def test_what_was_not_measured_stays_as_it_was() -> None:
    base = Thresholds(tick_s=0.1, cooldown_s=3.0)

    found = derive(small(*[WINS] * 8), base).thresholds

    assert (found.tick_s, found.cooldown_s) == (0.1, 3.0)


@pytest.mark.parametrize(
    ("gain", "spread", "verdict"),
    [
        (0.10, 0.05, "uring"),
        (0.10, 0.15, "tie"),
        (0.01, 0.005, "tie"),  # certain, but too small to matter
        (-0.10, 0.05, "epoll"),
        (-0.10, 0.15, "tie"),
        (0.0, 0.0, "tie"),
    ],
)
def test_a_difference_within_the_spread_is_none(
    gain: float, spread: float, verdict: str
) -> None:
    assert row(64, gain, spread=spread).verdict == verdict


def cell(
    number: int, engine: str, cpu_us: float, *, size: int = 128, waited: float = 0.0
) -> Cell:
    return Cell(number, engine, 64, size, 1000, 0.5, cpu_us, 0.001, 0.002, waited)


def test_the_two_of_one_round_are_compared_with_each_other() -> None:
    """The machine may be half as fast in one round, which affects both."""
    cells = [
        cell(0, "epoll", 20.0), cell(0, "uring", 18.0),
        cell(1, "uring", 36.0), cell(1, "epoll", 40.0),
        cell(2, "epoll", 20.0), cell(2, "uring", 18.0),
    ]  # fmt: skip

    (found,) = compare(cells)

    assert found.gain == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1)
    assert (found.epoll_us, found.uring_us) == (20.0, 18.0)
    assert found.epoll_per_s == 2000.0


def test_sizes_and_numbers_are_told_apart() -> None:
    cells = [
        cell(0, engine, 20.0, size=size)
        for size in (128, 8192)
        for engine in ("epoll", "uring")
    ]

    assert [row.body_bytes for row in compare(cells)] == [128, 8192]


def test_a_machine_with_other_work_says_so() -> None:
    quiet = [cell(n, "epoll", 20.0, waited=0.001) for n in range(5)]
    busy = [cell(n, "epoll", 20.0, waited=0.4) for n in range(5)]

    assert disturbance(quiet) == ""
    assert "40%" in disturbance(busy)

"""How many connections move at once: few, if that is fast enough."""

import pytest

from aioadapt.migration.pace import Pace


def crossed(pace: Pace, *, connections: int, round_s: float) -> tuple[float, list[int]]:
    """Moves in rounds, *round_s* apart: the seconds they took, and each one's size."""
    began_s = now_s = 100.0
    rounds = []
    pace.begins(now_s)
    while connections > 0:
        rounds.append(min(pace.max_in_flight, connections))
        connections -= rounds[-1]
        now_s += round_s
        pace.finished(connections, now_s)
    return now_s - began_s, rounds


def test_it_stays_at_the_least_while_that_is_soon_enough() -> None:
    took_s, rounds = crossed(Pace(4, 16, within_s=0.7), connections=1000, round_s=0.002)

    assert set(rounds) == {4}
    assert took_s == pytest.approx(0.5)


def test_it_takes_just_enough_to_be_in_time() -> None:
    """Four at once would take a second."""
    took_s, rounds = crossed(Pace(4, 16, within_s=0.7), connections=1000, round_s=0.004)

    assert 0.6 < took_s < 0.71
    assert max(rounds) <= 7


def test_it_takes_no_more_than_the_most_where_all_would_be_late() -> None:
    took_s, rounds = crossed(Pace(4, 16, within_s=0.7), connections=1000, round_s=0.1)

    assert set(rounds[1:-1]) == {16}
    assert took_s > 0.7


def test_what_goes_after_that_time_goes_in_few_rounds() -> None:
    """These became quiet only after the time was up, so they are late already."""
    pace = Pace(4, 16, within_s=0.7)
    pace.begins(0.0)
    pace.finished(100, 5.0)

    assert pace.max_in_flight == 16


def test_it_slows_down_when_the_rest_will_be_in_time() -> None:
    pace = Pace(4, 16, within_s=0.7)
    pace.begins(0.0)
    pace.finished(1000, 0.1)
    assert pace.max_in_flight == 16
    pace.finished(10, 0.2)
    assert pace.max_in_flight == 4


def test_a_fixed_number_stays_fixed() -> None:
    assert set(crossed(Pace(3, 3), connections=99, round_s=1.0)[1]) == {3}


def test_what_finishes_before_anything_was_released_changes_nothing() -> None:
    """Connections that can never move do not affect the pace of the others."""
    pace = Pace(4, 16)
    pace.finished(1000, 5.0)
    assert pace.max_in_flight == 4

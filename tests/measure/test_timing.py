"""Percentiles are exact: nearest rank in the sorted list."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioadapt.measure.timing import Latencies


def nearest_rank(values: list[int], percent: Fraction) -> int:
    rank = max(-(-len(values) * percent // 100), 1)
    return sorted(values)[int(rank) - 1]


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=300))
def test_percentiles_are_those_of_the_sorted_list(values_ns: list[int]) -> None:
    latencies = Latencies()
    latencies.keep(ns / 1e9 for ns in values_ns)

    figures = latencies.figures()

    assert figures["requests"] == len(values_ns)
    for name, percent in (
        ("p50_s", Fraction(50)),
        ("p99_s", Fraction(99)),
        ("p999_s", Fraction("99.9")),
        ("max_s", Fraction(100)),
    ):
        assert figures[name] == nearest_rank(values_ns, percent) / 1e9, name


def test_of_a_thousand_the_999th_is_p999() -> None:
    latencies = Latencies()
    latencies.keep(n / 1000 for n in range(1, 1001))

    figures = latencies.figures()

    assert figures["p999_s"] == 0.999
    assert figures["p99_s"] == 0.99
    assert figures["mean_s"] == pytest.approx(0.5005)


def test_of_nothing_all_are_zero() -> None:
    assert Latencies().figures()["p99_s"] == 0.0


def test_more_than_the_first_room_are_kept() -> None:
    latencies = Latencies()
    latencies.keep(1e-6 * n for n in range(200_000))

    assert latencies.figures()["requests"] == 200_000
    assert latencies.percentile_s(50) == pytest.approx(0.1, rel=1e-4)

"""The demo's ramp: the number of connections over time."""

import itertools

import pytest

from demo.ramp import few, steps, thresholds


@pytest.mark.parametrize("connections", [1, 2, 24, 256, 2048])
@pytest.mark.parametrize(("seconds", "rounds"), [(10.0, None), (60.0, 3), (1.0, 1)])
def test_every_round_goes_from_few_to_all_and_back(
    connections: int, seconds: float, rounds: int | None
) -> None:
    plan = steps(connections, seconds, rounds)
    sizes = [step.connections for step in plan]
    assert max(sizes) == connections
    assert min(sizes) >= few(connections) >= 1
    assert sizes[-1] == few(connections)
    assert all(a.at_s < b.at_s for a, b in itertools.pairwise(plan))
    assert 0 < plan[0].at_s < plan[-1].at_s < seconds


@pytest.mark.parametrize("connections", [4, 24, 256])
def test_the_thresholds_lie_between_few_and_all(connections: int) -> None:
    limits = thresholds(connections, 10.0, None)
    assert limits.up_connections is not None
    assert few(connections) <= limits.down_connections < limits.up_connections
    assert limits.up_connections <= connections

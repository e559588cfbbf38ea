"""The demo's final report."""

import json
from typing import Any

import pytest

from demo.report import Record, Report, percentile


def report(
    moves: dict[str, int] | None = None, *, interrupted: bool = False, **client: Any
) -> Report:
    record = Record(moves={"epoll>uring": 0, "uring>epoll": 0})
    for direction, count in (moves or {"epoll>uring": 3, "uring>epoll": 2}).items():
        record.add(
            direction,
            moved=count,
            returned=1,
            left={"TLS": 2},
            pauses_s=[0.001 * (n + 1) for n in range(count)],
        )
    outcome = {
        "requests": 100,
        "requests_by_engine": {"epoll": 60, "uring": 40},
        "failed": 0,
        "lost": 0,
        "duplicated": 0,
        "misrouted": 0,
        "opened": 5,
        "changes": {"epoll>uring": 3},
        "slowest_ms": 12.0,
        "cpu_seconds": 0.005,
        "fault_examples": [],
        "proof": {
            "connection": 9,
            "answers": 50,
            "runs": [["epoll", 0], ["uring", 20], ["epoll", 41]],
        },
    }
    return Report(
        ["epoll", "uring"], 4, 1.5, interrupted, record, {**outcome, **client}
    )


def test_the_json_object_has_what_scripts_look_for() -> None:
    facts = json.loads(json.dumps(report().as_json()))
    promised = {
        "requests": 100,
        "failed": 0,
        "lost": 0,
        "duplicated": 0,
        "misrouted": 0,
        "moves": {"epoll>uring": 3, "uring>epoll": 2},
        "returned": 2,
        "left": {"TLS": 4},
        "pause_us": {"p50": 2000.0, "p99": 3000.0, "max": 3000.0},
        "connections": 4,
        "seconds": 1.5,
        "engines": ["epoll", "uring"],
        "requests_by_engine": {"epoll": 60, "uring": 40},
    }
    assert {name: facts[name] for name in promised} == promised


def test_the_summary_shows_one_connection_answered_by_both() -> None:
    text = "\n".join(report().lines())
    assert "connection 9, one TCP connection" in text
    assert "requests       0 to      19 served by epoll" in text
    assert "requests      20 to      40 served by uring" in text
    assert "requests      41 to      49 served by epoll" in text


@pytest.mark.parametrize("fault", ["failed", "lost", "duplicated", "misrouted"])
def test_one_fault_of_any_kind_is_not_ok(fault: str) -> None:
    assert report().ok
    wrong: dict[str, Any] = {fault: 1}
    assert not report(**wrong).ok


def test_no_move_in_one_direction_is_not_ok_unless_interrupted() -> None:
    one_way = {"epoll>uring": 3, "uring>epoll": 0}
    assert not report(one_way).ok
    assert report(one_way, interrupted=True).ok


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile(values, 100) == 100.0
    assert percentile([7.0], 1) == 7.0
    assert percentile([], 99) == 0.0

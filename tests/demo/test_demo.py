"""A short run of the demo: two loops, real uvicorns, a real client process."""

import itertools
import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from programs import started

import aioadapt
from demo import __main__ as demo_command

ROOT = Path(__file__).parents[2]

FAULTS = ("failed", "lost", "duplicated", "misrouted")


def demo(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    status = demo_command.main(["--json", "--connections", "24", *arguments])
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1
    facts: dict[str, Any] = json.loads(printed.out)
    assert (status, facts["fault_examples"]) == (0, []), printed
    assert {fault: facts[fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0)
    return facts


def test_the_engine_follows_the_ramp_and_live_connections_follow_the_engine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = demo(capsys, "--seconds", "4", "--rounds", "1")
    verdicts = [
        (decision["verdict"], decision["from"], decision["to"])
        for decision in facts["decisions"]
    ]
    assert verdicts == [("switch", "epoll", "uring"), ("switch", "uring", "epoll")]
    up, down = facts["decisions"]
    assert up["connections"] > down["connections"]
    assert up["reason"]
    assert up["otherwise"]
    assert all(facts["moves"].values())
    check_what_clients_saw(facts)


def test_connections_are_drained_there_and_back_and_no_byte_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = demo(capsys, "--drains", "--seconds", "2")
    assert facts["decisions"] == []
    check_what_clients_saw(facts)


def check_what_clients_saw(facts: dict[str, Any]) -> None:
    assert sum(facts["requests_by_engine"].values()) == facts["requests"] > 0
    assert set(facts["requests_by_engine"]) == set(facts["engines"])
    # The migrator's counts match what clients saw: the next answer on the same
    # TCP connection came from the other loop.
    assert set(facts["moves_seen_by_clients"]) == set(facts["moves"])
    for way, seen in facts["moves_seen_by_clients"].items():
        assert 0 < seen <= facts["moves"][way]
    there, back = facts["engines"]
    engines = [engine for engine, _ in facts["proof"]["runs"]]
    assert {there, back} == set(engines)
    assert all(a != b for a, b in itertools.pairwise(engines))


def test_thinking_clients_are_moved_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    facts = demo(
        capsys, "--drains", "--seconds", "1", "--think-ms", "20", "--rounds", "2"
    )
    assert all(facts["moves"].values())


def test_without_io_uring_it_says_so_and_moves_between_two_epoll_loops(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    none = SimpleNamespace(available=False, reason="kernel.io_uring_disabled is 2")
    monkeypatch.setattr(aioadapt, "uring_support", lambda: none)
    assert demo_command.main(["--json", "--seconds", "1", "--connections", "8"]) == 0
    printed = capsys.readouterr()
    assert "kernel.io_uring_disabled is 2" in printed.err
    facts = json.loads(printed.out)
    assert facts["engines"] == ["epoll", "epoll2"]
    assert set(facts["moves"]) == {"epoll>epoll2", "epoll2>epoll"}


def test_more_connections_than_descriptors_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 64))
    assert demo_command.main(["--connections", "100"]) == 2
    assert "ulimit -Hn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--seconds", "soon"], "--seconds"),
        (["--seconds", "0"], "--seconds"),
        (["--rounds", "0"], "--rounds"),
        (["--rounds", "1.5"], "--rounds"),
        (["--connections", "-1"], "--connections"),
        (["--think-ms", "-5"], "--think-ms"),
        (["--engines"], "--engines"),
        (["now"], "now"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo_command.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert named in printed.err


def test_ctrl_c_ends_it_in_order_with_the_summary_so_far() -> None:
    command = [sys.executable, "-m", "demo", "--json"]
    command += ["--seconds", "600", "--connections", "8"]
    with started(*command, cwd=ROOT) as demo:
        demo.wait_for("")  # the first status line
        assert demo.end(signal.SIGINT) == 0, demo.err
    facts = json.loads(demo.out)
    assert facts["interrupted"]
    assert facts["seconds"] < 600
    assert "Traceback" not in demo.err

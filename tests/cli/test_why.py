"""why explains a running server's decisions; the server here is a real Admin."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from seen import STARTED_AT, Seen, decision, running_admin, switch

from aioadapt import LoopThread, Verdict
from aioadapt.cli import main as door
from aioadapt.cli.recent import clock, duration

pytestmark = pytest.mark.usefixtures("runtime_folder")


@pytest.fixture
def seen(nothing_is_left: None) -> Iterator[Seen]:
    with LoopThread("epoll") as epoll:
        seen = Seen(epoll)
        with running_admin(seen.state):
            yield seen


def test_a_decision_is_told_with_what_would_have_had_to_be_different(
    seen: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main(["why"]) == 0

    head, start, *told = capsys.readouterr().out.splitlines()
    assert head.startswith("shop:app, pid ")
    assert head.endswith(": on epoll, adapting to the load")
    assert start == f"{clock(STARTED_AT)}  started on epoll: no workload hint"
    assert told == [
        f"{clock(STARTED_AT + 59)}  stay on epoll: 3 connections, below the "
        "threshold of 64",
        "          needed for a switch: 61 more connections",
    ]


def test_a_switch_is_told_with_what_it_moved_and_how_long_it_took(
    seen: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    done = switch(at_s=99.5)
    assert done.decision is not None
    seen.set |= {"decisions": [decision(), done.decision], "switches": [done]}

    assert door.main(["why"]) == 0

    told = capsys.readouterr().out.splitlines()[-3:]
    assert told[0].endswith("switch from epoll to uring: 64 connections, a burst")
    assert told[1].strip() == "it would not have switched if: 61 more connections"
    assert told[2].strip() == (
        "2 of 3 connections moved, the first after 12 ms, the last after 340 ms, "
        "pauses p50 100 us p99 2 ms; not moved: 1 TLS"
    )


def test_a_switch_that_failed_is_told_with_the_cause(
    seen: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = switch(failed="UringUnavailableError: no", moved=0, left={}, pauses_s=())
    seen.set |= {"decisions": [failed.decision], "switches": [failed]}

    assert door.main(["why"]) == 0

    assert capsys.readouterr().out.splitlines()[-1].strip() == (
        "failed, nothing changed: UringUnavailableError: no"
    )


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_words(
    verdict: Verdict, seen: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    seen.set["decisions"] = [decision(verdict=verdict, reason="so it was")]

    assert door.main(["why"]) == 0

    told = capsys.readouterr().out.splitlines()[2]
    assert told.endswith(": so it was")
    assert "stay on epoll" in told or "from epoll to uring" in told


def test_n_is_how_many(seen: Seen, capsys: pytest.CaptureFixture[str]) -> None:
    seen.set["decisions"] = [decision(at_s, reason=f"no {at_s}") for at_s in range(50)]

    assert door.main(["why", "-n", "2"]) == 0

    printed = capsys.readouterr().out
    assert "no 48" in printed
    assert "no 49" in printed
    assert "no 47" not in printed


def test_json_is_for_programs(seen: Seen, capsys: pytest.CaptureFixture[str]) -> None:
    seen.set["switches"] = [switch()]

    assert door.main(["why", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert set(told) == {
        "format", "pid", "app", "now", "active", "decisions", "switches",
    }  # fmt: skip
    assert told["decisions"][0]["otherwise"] == "61 more connections"
    assert told["switches"][0]["moved"] == 2


def test_nothing_decided_yet_is_told(
    seen: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    seen.set["decisions"] = []

    assert door.main(["why"]) == 0

    assert "no decisions yet" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["why"], ["top"], ["top", "--once"]])
def test_without_a_server_it_is_one_line_and_status_2(
    command: list[str], runtime_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main(command) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(
        f"aioadapt: no running server found in {runtime_folder}/aioadapt or "
    )
    assert printed.err.endswith("; start one with `aioadapt serve`\n")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["why", "-n", "0"], "-n"),
        (["why", "-n", "many"], "-n"),
        (["why", "/proc/none/a.sock"], "/proc/none/a.sock"),
        (["why", "4711"], "4711"),
        (["top", "--twice"], "--twice"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert named in printed


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0.0, "0 us"),
        (41e-6, "41 us"),
        (0.0009996, "1 ms"),
        (0.01234, "12.3 ms"),
        (0.34, "340 ms"),
        (3.4, "3.4 s"),
        (4000, "4,000 s"),
    ],
)
def test_a_duration_has_three_digits_and_its_unit(
    seconds: float | None, words: str
) -> None:
    assert duration(seconds) == words

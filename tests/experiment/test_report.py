"""Tables and figures from results, without running anything."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from aioadapt.measure.usage import ExperimentError
from benchmarks.experiment import __main__ as experiment
from benchmarks.experiment import markdown, report
from benchmarks.experiment.summary import (
    course_of_burst,
    steps_of,
    switches_of,
    verdict_of,
)

from .small_results import small_results


@pytest.fixture(autouse=True, scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of a complete report; drawing takes seconds.

    Set up before all tests: matplotlib keeps its fonts open, which would count as
    leftovers of one test.
    """
    return report.write(small_results(), tmp_path_factory.mktemp("report"))


PICTURES = ("ramp", "ramp-p99", "burst", "switches", "gil", "summary")


def with_one_picture(results: dict[str, Any]) -> dict[str, Any]:
    """The same results, but only those for the figure of the switches."""
    return {**without_pictures(results), "switches": results["switches"]}


def without_pictures(results: dict[str, Any]) -> dict[str, Any]:
    churn = [step for step in results["steps"] if step["scenario"] == "churn"]
    return {**results, "gil": {}, "switches": [], "steps": churn}


def test_rounds_become_a_median_and_a_spread() -> None:
    (found,) = [
        step
        for step in steps_of(small_results())
        if (step.scenario, step.mode, step.step) == ("ramp", "adaptive", "512")
    ]

    assert found.requests_per_s.median == 1140
    assert (found.requests_per_s.low, found.requests_per_s.high) == (1080, 1200)
    assert found.requests == 2 * 1200 + 2 * 1080


def test_a_switch_that_moved_nobody_has_no_latency() -> None:
    moving, routing = switches_of(small_results())

    assert moving.count == 2
    assert moving.moved == 200
    assert moving.last_moved_s is not None
    assert moving.last_moved_s.median == 0.2
    assert (routing.moved, routing.left, routing.last_moved_s) == (0, 200, None)


def test_every_fault_of_every_part_is_in_the_verdict() -> None:
    results = small_results()
    results["steps"][0]["settle"]["lost"] = 1
    results["steps"][1]["steady"]["failed"] = 2
    results["gil"]["throughput"][0]["duplicated"] = 3
    results["gil"]["pauses"][1]["misrouted"] = 4

    counts = verdict_of(results)

    assert {k: counts[k] for k in ("lost", "failed", "duplicated", "misrouted")} == {
        "lost": 1, "failed": 2, "duplicated": 3, "misrouted": 4,
    }  # fmt: skip
    assert "1 lost" in markdown.render(results)


def test_the_moves_of_one_run_are_not_counted_as_often_as_there_are_moves() -> None:
    results = small_results()
    for record in results["gil"]["pauses"]:
        record.update(load="saturated", lost=1)

    assert verdict_of(results)["lost"] == 1


def test_the_burst_is_followed_from_its_first_moment() -> None:
    at_s, rates = course_of_burst(small_results(), "uring")

    assert len(at_s) == len(rates) == 20
    assert rates[0] == 1140


def test_tables_have_every_mode_and_step() -> None:
    text = markdown.render(small_results())

    for words in (
        "epoll only",
        "io_uring only",
        "connections move",
        "new connections only",
    ):
        assert words in text
    assert "| 512 | adaptive, connections move | 1,140 (1,080 to 1,200) |" in text
    assert "64 (down)" in text
    assert "up at 64 connections" in text
    assert "`cooldown_s` 1" in text
    assert "| one core: half load | 5 | 1 | 100 |" in text


def test_a_gain_is_that_of_each_round_against_the_same_round() -> None:
    text = markdown.render(small_results())

    assert "| ramp 512 | +20.0% | +20.0% | +0.0% | +20.0% |" in text
    assert "| burst burst | +20.0% | +20.0% | +0.0% | +20.0% |" in text


def test_a_machine_that_was_not_idle_is_said_so() -> None:
    results = small_results()
    assert "not idle" not in markdown.render(results)

    for step in results["steps"]:
        step["steady"]["waited_share"] = 0.4

    assert "for 40% of the time" in markdown.render(results)


def test_every_table_is_rectangular() -> None:
    rows = [
        line.count("|")
        for line in markdown.render(
            small_results(), {"3.13": small_results("3.13")}
        ).split("\n")
        if line.startswith("|")
    ]
    tables = markdown.render(small_results()).count("| ---")

    assert tables >= 5
    assert len(rows) > 40
    for block in markdown.render(small_results()).split("\n\n"):
        widths = {line.count("|") for line in block.split("\n") if line.startswith("|")}
        assert len(widths) <= 1


def test_a_report_is_json_tables_and_pictures(written: list[Path]) -> None:
    names = {path.name for path in written}
    assert names == {
        "results.json",
        "results.md",
        *(f"{name}.svg" for name in PICTURES),
    }
    folder = written[0].parent
    assert report.load(folder / "results.json") == small_results()
    text = (folder / "results.md").read_text()
    for path in folder.glob("*.svg"):
        assert ET.parse(path).getroot().tag.endswith("svg")
        assert f"({path.name})" in text
    assert str(folder) not in text


def test_the_same_results_give_the_same_files(
    written: list[Path], tmp_path: Path
) -> None:
    again = report.write(small_results(), tmp_path)

    assert [path.name for path in written] == [path.name for path in again]
    assert [path.read_bytes() for path in written] == [
        path.read_bytes() for path in again
    ]


def test_another_python_has_files_of_its_own_and_is_compared(tmp_path: Path) -> None:
    report.write(with_one_picture(small_results("3.13")), tmp_path)
    report.write(with_one_picture(small_results("3.11")), tmp_path)

    assert (tmp_path / "results-3.13.json").exists()
    assert (tmp_path / "switches-3.13.svg").exists()
    text = (tmp_path / "results.md").read_text()
    assert "Comparison of Python versions" in text
    assert "| 3.11 |" in text
    assert "| 3.13 |" in text
    assert text.index("| 3.11 |") < text.index("| 3.13 |")
    # This report does not list the other report's figures.
    assert "(switches.svg)" in text
    assert "switches-3.13.svg" not in text


def test_what_was_left_out_is_left_out_of_the_report(tmp_path: Path) -> None:
    results = without_pictures(small_results())

    written = {path.name for path in report.write(results, tmp_path)}

    assert written == {"results.json", "results.md"}
    assert "Churn" in (tmp_path / "results.md").read_text()


def test_the_command_renders_again_what_was_measured_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "measured.json"
    source.write_text(json.dumps(with_one_picture(small_results())))

    status = experiment.main(
        ["--from", str(source), "--output", str(tmp_path / "report")]
    )

    printed = capsys.readouterr()
    assert status == 0
    assert str(tmp_path / "report" / "switches.svg") in printed.out
    assert "0 lost" in printed.err


def test_a_lost_request_is_the_exit_status(tmp_path: Path) -> None:
    results = without_pictures(small_results())
    results["steps"][0]["steady"]["lost"] = 1
    source = tmp_path / "measured.json"
    source.write_text(json.dumps(results))

    assert experiment.main(["--from", str(source), "--output", str(tmp_path)]) == 1


@pytest.mark.parametrize("text", ["", "[]", '{"steps": []}'])
def test_a_file_that_holds_no_results_is_one_line_that_names_it(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "else.json"
    source.write_text(text)

    with pytest.raises(ExperimentError, match="else.json"):
        report.load(source)
    assert experiment.main(["--from", str(source)]) == 2
    assert capsys.readouterr().err.count("\n") == 1

"""A minimal run of the experiment: real servers, a real load client."""

import json
import os
from pathlib import Path

import pytest

import aioadapt
from aioadapt.cli import main as door
from aioadapt.measure import sweep
from aioadapt.measure.sweep import Plan as SweepPlan
from benchmarks.experiment import __main__ as experiment
from benchmarks.experiment import markdown, report
from benchmarks.experiment import run as running
from benchmarks.experiment.plan import QUICK, Plan, Step
from benchmarks.experiment.run import perform, steps_in
from benchmarks.experiment.summary import verdict_of

pytestmark = [
    pytest.mark.skipif(
        len(os.sched_getaffinity(0)) < 2,
        reason="server and load client need a core each",
    ),
    pytest.mark.skipif(
        not aioadapt.uring_support().available, reason="there is only one engine here"
    ),
]

TINY = Plan(
    name="tiny",
    rounds=1,
    modes=("adaptive", "routing"),
    scenarios={
        # 200 at once are a burst: the engine switches after one tick.
        "ramp": (Step("8", 8, 0.0, 0.3), Step("200", 200, 2.0, 0.3)),
    },
    gil_s=0.0,
    gil_rounds=1,
    gil_connections=10,
    switch_intervals_s=(0.005,),
)


class Progress:
    def __init__(self) -> None:
        self.steps = 0

    def say(self, what: str) -> None: ...

    def step(self) -> None:
        self.steps += 1


def test_live_connections_follow_where_they_may_and_nothing_is_wrong() -> None:
    progress = Progress()

    results = perform(TINY, progress).as_json()

    assert progress.steps == steps_in(TINY) == 4
    counts = verdict_of(results)
    assert counts.pop("requests") > 100
    assert set(counts.values()) == {0}
    last = {step["mode"]: step for step in results["steps"] if step["step"] == "200"}
    assert {mode: step["active"] for mode, step in last.items()} == {
        "adaptive": "uring",
        "routing": "uring",
    }
    # Connections from before the switch stay where they are.
    assert last["routing"]["on"]["epoll"] >= 8
    moved = {switch["mode"]: switch["moved"] for switch in results["switches"]}
    assert moved["adaptive"] > 0
    assert moved["routing"] == 0
    for step in results["steps"]:
        assert step["steady"]["cpu_us"] > 0
        assert step["steady"]["requests"] == step["steady"]["asked"]
    # All of it is valid JSON, and can be rendered as tables.
    text = markdown.render(json.loads(json.dumps(results)))
    assert "| ramp 200 | adaptive, connections move | epoll to uring |" in text


def test_a_calibration_is_stored_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aioadapt.control import calibration

    tiny = SweepPlan(cells=((1, 128), (16, 128)), rounds=1, seconds=0.05, warmup_s=0.02)
    monkeypatch.setattr(sweep, "QUICK", tiny)
    path = tmp_path / "thresholds.json"

    status = door.main(["calibrate", "--quick", "--json", "--output", str(path)])

    assert status == 0
    printed = json.loads(capsys.readouterr().out)
    stored = calibration.load(path)
    assert stored is not None
    assert stored.to_json() == printed["thresholds"]
    measured = json.loads(path.read_text())["measured"]
    assert len(measured["cells"]) == 4
    assert {cell["engine"] for cell in measured["cells"]} == {"epoll", "uring"}


def measured(waited_share: float) -> list[sweep.Cell]:
    """A one-round sweep in which something else had the core for that share of time."""
    return [
        sweep.Cell(0, engine, 4, 128, 1000, 0.05, 20.0, 1e-3, 2e-3, waited_share)
        for engine in sweep.ENGINES
    ]


def test_a_dry_run_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "sweep", lambda plan, show: measured(0.0))
    monkeypatch.setenv("AIOADAPT_THRESHOLDS", str(tmp_path / "thresholds.json"))

    assert door.main(["calibrate", "--quick", "--dry-run"]) == 0

    assert list(tmp_path.iterdir()) == []
    assert "uring saves" in capsys.readouterr().out


def test_what_was_measured_beside_something_else_is_stored_only_where_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "sweep", lambda plan, show: measured(0.6))
    path = tmp_path / "thresholds.json"
    monkeypatch.setenv("AIOADAPT_THRESHOLDS", str(path))

    assert door.main(["calibrate", "--quick"]) == 1
    assert "used the server's core for 60% of the time" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

    assert door.main(["calibrate", "--quick", "--output", str(path)]) == 0
    assert path.exists()


@pytest.mark.parametrize("place", ["/proc/none/thresholds.json", "/proc"])
def test_where_nothing_can_be_stored_nothing_is_measured(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "sweep", lambda plan, show: pytest.fail("it measures"))

    assert door.main(["calibrate", "--output", place]) == 2

    printed = capsys.readouterr().err
    assert printed.startswith(f"aioadapt: cannot store thresholds in {place}: ")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("place", ["/proc/none", __file__])
def test_where_no_report_can_be_written_nothing_is_measured(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "perform", lambda *_: pytest.fail("it measures"))

    assert experiment.main(["--output", place]) == 2

    printed = capsys.readouterr().err
    assert printed.startswith(f"aioadapt: cannot write a report into {place}: ")
    assert printed.count("\n") == 1


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_the_quick_experiment_writes_a_whole_report(tmp_path: Path) -> None:
    assert experiment.main(["--quick", "--output", str(tmp_path)]) == 0

    results = report.load(tmp_path / "results.json")
    assert {step["mode"] for step in results["steps"]} == set(QUICK.modes)
    assert {record["load"] for record in results["gil"]["pauses"]} == {
        "half load",
        "saturated",
        "both loops saturated",
    }
    assert (tmp_path / "summary.svg").exists()

"""What the README and CONTRIBUTING say is so: examples run, names and paths exist."""

import re
from pathlib import Path
from typing import Any

import pytest
from marked import Example, examples_of, marks_in, run

import aioadapt
from aioadapt.engine import ENGINES
from demo.report import Record, Report

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()

EXAMPLES = examples_of(ROOT / "README.md")
PROGRAMS = [example for example in EXAMPLES if example.marked]


def test_every_mark_stands_before_an_example() -> None:
    """Else a slip in a mark would take its example out of the tests."""
    assert len(PROGRAMS) == marks_in(ROOT / "README.md") > 0


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"line {e.line}")
def test_an_example_is_python(example: Example) -> None:
    compile(example.code, str(example), "exec")


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda e: f"line {e.line}")
def test_a_marked_example_runs_as_it_stands(example: Example) -> None:
    if not example.runs_here:
        pytest.skip("the README says that it is not for this Python")
    run(example)


def test_every_name_of_ours_exists() -> None:
    names = set(re.findall(r"\baioadapt[.:]([A-Za-z_]+)", README))
    assert {"run", "Migrator"} <= names
    assert [name for name in sorted(names) if not has(name)] == []


def has(name: str) -> bool:
    if name == "EventLoopPolicy":
        # To look at it warns on Python 3.14, and it is gone with asyncio's.
        return (ROOT / "aioadapt/policy.py").exists()
    return hasattr(aioadapt, name) or (ROOT / "aioadapt" / name).exists()


def test_the_table_of_engines_is_whole() -> None:
    table = README.split("### Which engine")[1].split("###")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(ENGINES)


def test_the_table_of_the_demos_json_is_whole() -> None:
    table = README.split("| field | |")[1].split("\n\n")[0]
    first_cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)
    listed = re.findall(r"`(\w+)`", " ".join(first_cells))

    zero = ("requests", "opened", "slowest_ms", "cpu_seconds")
    faults = ("failed", "lost", "duplicated", "misrouted")
    outcome: dict[str, Any] = dict.fromkeys((*zero, *faults), 0)
    outcome |= {"requests_by_engine": {}, "changes": {}}
    outcome |= {"fault_examples": [], "proof": None}
    facts = Report([], 0, 0.0, False, Record(moves={}), outcome).as_json()
    assert sorted(listed) == sorted(facts)


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_path_exists(text: str) -> None:
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    named = re.findall(
        r"`((?:aioadapt|benchmarks|tests|tools)(?:/[\w*-]+)+(?:\.\w+)?)`", text
    )
    paths = {*linked, *named}
    assert paths
    assert [path for path in sorted(paths) if not list(ROOT.glob(path))] == []


def test_every_command_of_run_that_is_named_exists() -> None:
    commands = re.search(r"^commands='(.*)'$", (ROOT / "run").read_text(), re.MULTILINE)
    assert commands
    for text in (README, CONTRIBUTING):
        named = set(re.findall(r"\./run (\w+)", text))
        assert named
        assert named <= set(commands[1].split())

"""What the README and CONTRIBUTING say is so: examples run, names and paths exist."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import aioadapt
from aioadapt.cli.demo.report import Record, Report
from aioadapt.engine import ENGINES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()

EXAMPLE = re.compile(
    r"(?:<!-- runs(?: (?P<bound>from|below) 3\.(?P<minor>\d+))? -->\n)?"
    r"```python\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
MARK = re.compile(r"^<!-- runs\b", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One ``python`` block; *marked* ones are whole programs."""

    line: int
    code: str
    marked: bool
    runs_here: bool


def examples() -> list[Example]:
    found = []
    for match in EXAMPLE.finditer(README):
        bound, minor = match["bound"], int(match["minor"] or 0)
        here = sys.version_info.minor
        found.append(
            Example(
                line=README.count("\n", 0, match.start("code")) + 1,
                code=match["code"],
                marked=match[0].startswith("<!-- runs"),
                runs_here=(
                    here >= minor if bound == "from" else bound is None or here < minor
                ),
            )
        )
    return found


EXAMPLES = examples()
PROGRAMS = [example for example in EXAMPLES if example.marked]


def test_every_mark_stands_before_an_example() -> None:
    """Else a slip in a mark would take its example out of the tests."""
    assert len(PROGRAMS) == len(MARK.findall(README)) > 0


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"line {e.line}")
def test_an_example_is_python(example: Example) -> None:
    compile(example.code, f"README.md, line {example.line}", "exec")


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda e: f"line {e.line}")
def test_a_marked_example_runs_as_it_stands(example: Example) -> None:
    if not example.runs_here:
        pytest.skip("the README says that it is not for this Python")
    done = subprocess.run(
        # Policies warn from Python 3.14 on, as the README says.
        [sys.executable, "-W", "error", "-W", "default::DeprecationWarning", "-"],
        input=example.code,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr


def test_every_name_of_ours_exists() -> None:
    names = set(re.findall(r"\baioadapt[.:]([A-Za-z_]+)", README))
    assert {"run", "Migrator"} <= names
    assert [name for name in sorted(names) if not has(name)] == []


def has(name: str) -> bool:
    if name == "EventLoopPolicy":
        # To look at it warns on Python 3.14, and it is gone with asyncio's.
        return (ROOT / "aioadapt/policy.py").exists()
    return hasattr(aioadapt, name)


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

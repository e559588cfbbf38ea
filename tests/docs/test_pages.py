"""The pages in ``docs/`` are correct, and they can be built."""

import ast
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from marked import Example, examples_of, marks_in, run

import aioadapt
from aioadapt.cli.commands import app
from aioadapt.engine import ENGINES
from aioadapt.migration.phase import OWNERS, TRANSITIONS, Phase
from aioadapt.pytest_plugin import OPTION
from demo.__main__ import demo
from demo.report import Record, Report
from docs._ext import control, from_code, phases

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# The pages that an experiment writes into docs/report/ have their own tests.
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if page.parent.name != "report"]
TEXT = {page: page.read_text() for page in PAGES}
ALL = "\n".join(TEXT.values())

EXAMPLES = [example for page in PAGES for example in examples_of(page)]
PROGRAMS = [example for example in EXAMPLES if example.marked]

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
DEMO = typer.Typer(add_completion=False)
DEMO.command()(demo)

NEEDED = ("sphinx", "furo", "myst_parser")
MISSING = [name for name in NEEDED if find_spec(name) is None]


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


# -- programs


def test_every_mark_stands_before_an_example() -> None:
    """Otherwise a typo in a mark would silently exclude its example from the tests."""
    assert len(PROGRAMS) == sum(marks_in(page) for page in PAGES) > 0


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_is_python(example: Example) -> None:
    compile(example.code, str(example), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("example", PROGRAMS, ids=str)
def test_a_marked_example_runs_as_it_stands(example: Example) -> None:
    if not example.runs_here:
        pytest.skip("the page says that it is not for this Python")
    run(example)


# -- names


def test_every_name_of_ours_exists() -> None:
    names = set(re.findall(r"\baioadapt[.:](?!py\b)([A-Za-z_]\w*)", ALL))
    assert {"run", "Migrator", "AdaptiveServer"} <= names
    assert [name for name in sorted(names) if not exists(name)] == []


def exists(name: str) -> bool:
    if name == "EventLoopPolicy":
        # Accessing it warns on Python 3.14, and asyncio removes the base class in 3.16.
        return (ROOT / "aioadapt/policy.py").exists()
    if (ROOT / "aioadapt" / name).exists():
        return True
    return hasattr(aioadapt, name) or find_spec(f"aioadapt.{name}") is not None


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    page = TEXT[DOCS / "api.md"]
    listed = set(
        re.findall(r"^\.\. auto\w+:: (?:aioadapt\.)?(\w+)", page, re.MULTILINE)
    )
    public = {*aioadapt.__all__, "AdaptiveServer", "EventLoopPolicy", "serve"}

    assert public - listed == set()


def test_every_path_exists() -> None:
    named = re.findall(
        r"`((?:aioadapt|benchmarks|demo|examples|tests|tools)"
        r"(?:/[\w*-]+)+(?:\.\w+)?)`",
        ALL,
    )
    assert len(named) > 20
    assert [path for path in sorted(set(named)) if not list(ROOT.glob(path))] == []


def test_every_command_exists() -> None:
    script = (ROOT / "run").read_text()
    of_run = re.search(r"^commands='(.*)'$", script, re.MULTILINE)
    assert of_run
    named_of_run = set(re.findall(r"\./run (\w+)", ALL))
    shell = re.findall(r"^```sh\n(.*?)^```$", ALL, re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"^aioadapt (\w+)", "\n".join(shell), re.MULTILINE))
    named |= set(re.findall(r"`aioadapt (\w+)", ALL))

    assert named_of_run
    assert named_of_run - set(of_run[1].split()) == set()
    assert {"serve", "doctor"} <= named
    assert named - set(COMMANDS) == set()


def test_every_option_of_our_commands_exists() -> None:
    of_others = {"--loop", "--security-opt", "--ulimit", "--unix-socket"}
    of_others |= {"--asgi-loop", "--interface", "--preload", "--reload"}  # of servers
    without_output = re.sub(r"^```text\n.*?^```$", "", ALL, flags=re.DOTALL | re.M)
    named = set(re.findall(r"(?<=[` ])--[a-z][a-z-]*[a-z]", without_output))
    ours = {
        option
        for command in COMMANDS.values()
        for parameter in command.params
        for option in parameter.opts + parameter.secondary_opts
    }
    demo_command = typer.main.get_command(DEMO)
    ours |= {option for parameter in demo_command.params for option in parameter.opts}
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        ours |= set(re.findall(r'"(--[a-z-]+)"', path.read_text()))
    ours |= {OPTION}

    assert {"--factory", "--drains", "--servers"} <= named
    assert named - of_others - ours == set()


def test_every_example_program_is_listed() -> None:
    page = TEXT[DOCS / "getting-started.md"]
    listed = set(re.findall(r"`examples/(\w+\.py)`", page))

    assert listed == {path.name for path in (ROOT / "examples").glob("*.py")}


# -- tables that are not generated


def test_the_table_of_engines_is_complete() -> None:
    page = TEXT[DOCS / "choosing-a-loop.md"]
    table = page.split("## Which engine")[1].split("##")[0]

    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert rows == list(ENGINES)


def test_the_table_of_the_demos_json_is_complete() -> None:
    table = TEXT[DOCS / "demo.md"].split("| field | |")[1].split("\n\n")[0]
    first_cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)
    listed = re.findall(r"`(\w+)`", " ".join(first_cells))

    zero = ("requests", "opened", "slowest_ms", "cpu_seconds")
    faults = ("failed", "lost", "duplicated", "misrouted")
    outcome: dict[str, Any] = dict.fromkeys((*zero, *faults), 0)
    outcome |= {"requests_by_engine": {}, "changes": {}}
    outcome |= {"fault_examples": [], "proof": None}
    facts = Report([], 0, 0.0, False, Record(moves={}), outcome).as_json()
    assert sorted(listed) == sorted(facts)


# -- parts generated from the code


def test_every_part_that_a_page_asks_for_can_be_generated() -> None:
    asked = from_code.MARK.findall(ALL)

    assert "phases diagram" in asked
    assert len(asked) == ALL.count("<!-- from the code:")
    for what in asked:
        # If there is no report, there are no pages to list.
        assert from_code.made(what) or what == "report pages"


def test_the_page_of_moving_has_the_phases_from_the_table() -> None:
    text = TEXT[DOCS / "moving-connections.md"]
    parts = ("diagram", "transitions", "owners")

    assert [f"<!-- from the code: phases {part} -->" in text for part in parts] == [
        True,
        True,
        True,
    ]
    # There is no second, manually written copy.
    assert from_code.fill(text).count("| `SERVING` | `QUIET` |") == 1


def test_the_diagram_has_every_phase_and_every_transition() -> None:
    drawn = re.findall(
        r'data-from="(\w+)" data-to="(\w+)" data-events="([\w ]+)"', phases.diagram()
    )
    arrows = {
        (source, event, target)
        for source, target, events in drawn
        for event in events.split()
    }

    assert arrows == {
        (source.name, event.name, target.name)
        for (source, event), target in TRANSITIONS.items()
    }
    boxes = re.findall(r'data-phase="(\w+)"', phases.diagram())
    assert sorted(boxes) == sorted(phase.name for phase in Phase)


def test_no_two_phases_are_drawn_in_one_place() -> None:
    places = phases.places()

    assert len(set(places.values())) == len(places) == len(Phase)


def test_the_tables_have_every_transition_and_every_owner() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| .* \| `(\w+)` \|$",
        phases.transitions(),
        re.MULTILINE,
    )
    assert rows == [
        (source.name, event.name, target.name)
        for (source, event), target in TRANSITIONS.items()
    ]
    owners = phases.owners()
    for phase, owner in OWNERS.items():
        assert re.search(rf"`{phase.name}` \| .* \| {owner.value} \|", owners)


def test_the_example_decisions_include_one_about_large_payloads() -> None:
    """The example must stay above the threshold that it is compared with."""
    assert "bytes per request: at this size neither engine is better" in (
        control.decisions()
    )


def test_commands_are_not_typeset() -> None:
    """With smart quotes, ``--`` outside of code becomes a dash."""
    conf = (DOCS / "conf.py").read_text()

    assert re.search(r"^smartquotes = False$", conf, re.MULTILINE)


# -- the build


@pytest.mark.timeout(180)
@pytest.mark.skipif(bool(MISSING), reason=f"the extra docs is not installed: {MISSING}")
def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    """Links between pages, names in the API, every table."""
    options = ["-q", "-E", "-n", "-W", "--keep-going", "-d", str(tmp_path / "cache")]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(tmp_path / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )

    assert built.returncode == 0, built.stderr
    page = (tmp_path / "html" / "moving-connections.html").read_text()
    assert page.count("data-from=") == len(
        {(s, t) for (s, _), t in TRANSITIONS.items()}
    )
    assert "from the code:" not in page
    remedies = (tmp_path / "html" / "seeing.html").read_text()
    assert "docker run --security-opt seccomp=profile.json IMAGE" in remedies

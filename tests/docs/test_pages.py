"""What the pages in ``docs/`` say is so, and they can be built."""

import ast
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from marked import Example, examples_of, marks_in, run

import aioadapt
from aioadapt.cli.commands import app
from aioadapt.migration.phase import OWNERS, TRANSITIONS, Phase
from aioadapt.pytest_plugin import OPTION
from docs._ext import from_code, phases

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# What an experiment writes into docs/report/ is its own tests' business.
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if page.parent.name != "report"]
TEXT = {page: page.read_text() for page in PAGES}
ALL = "\n".join(TEXT.values())

EXAMPLES = [example for page in PAGES for example in examples_of(page)]
PROGRAMS = [example for example in EXAMPLES if example.marked]

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

NEEDED = ("sphinx", "furo", "myst_parser")
MISSING = [name for name in NEEDED if find_spec(name) is None]


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


# -- programs


def test_every_mark_stands_before_an_example() -> None:
    """Else a slip in a mark would take its example out of the tests."""
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
        # To look at it warns on Python 3.14, and it is gone with asyncio's.
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
        r"`((?:aioadapt|benchmarks|examples|tests|tools)(?:/[\w*-]+)+(?:\.\w+)?)`", ALL
    )
    assert len(named) > 20
    assert [path for path in sorted(set(named)) if not list(ROOT.glob(path))] == []


def test_every_command_exists() -> None:
    script = (ROOT / "run").read_text()
    of_run = re.search(r"^commands='(.*)'$", script, re.MULTILINE)
    assert of_run
    named_of_run = set(re.findall(r"\./run (\w+)", ALL))
    named = set(re.findall(r"(?:^|`)aioadapt (\w+)", ALL, re.MULTILINE))

    assert named_of_run
    assert named_of_run - set(of_run[1].split()) == set()
    assert {"serve", "doctor"} <= named
    assert named - set(COMMANDS) == set()


def test_every_option_of_our_commands_exists() -> None:
    of_others = {"--loop", "--security-opt", "--ulimit", "--unix-socket"}
    of_others |= {"--asgi-loop", "--interface", "--preload", "--reload"}  # of servers
    without_pictures = re.sub(r"^```text\n.*?^```$", "", ALL, flags=re.DOTALL | re.M)
    named = set(re.findall(r"(?<=[` ])--[a-z][a-z-]*[a-z]", without_pictures))
    ours = {
        option
        for command in COMMANDS.values()
        for parameter in command.params
        for option in parameter.opts + parameter.secondary_opts
    }
    benchmark = (ROOT / "benchmarks" / "follow.py").read_text()
    ours |= {OPTION, *re.findall(r'"(--[a-z-]+)"', benchmark)}

    assert "--factory" in named
    assert named - of_others - ours == set()


def test_every_example_program_is_listed() -> None:
    page = TEXT[DOCS / "getting-started.md"]
    listed = set(re.findall(r"`examples/(\w+\.py)`", page))

    assert listed == {path.name for path in (ROOT / "examples").glob("*.py")}


# -- what is made from the code


def test_every_part_that_a_page_asks_for_can_be_made() -> None:
    asked = from_code.MARK.findall(ALL)

    assert "phases diagram" in asked
    assert len(asked) == ALL.count("<!-- from the code:")
    for what in asked:
        # Without a report there is nothing to list.
        assert from_code.made(what) or what == "report pages"


def test_the_page_of_moving_has_the_phases_from_the_table() -> None:
    text = TEXT[DOCS / "moving-connections.md"]
    parts = ("diagram", "transitions", "owners")

    assert [f"<!-- from the code: phases {part} -->" in text for part in parts] == [
        True,
        True,
        True,
    ]
    # None is written by hand beside it.
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


# -- the build


@pytest.mark.timeout(180)
@pytest.mark.skipif(bool(MISSING), reason=f"the extra docs is not here: {MISSING}")
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

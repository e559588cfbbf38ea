"""README, CONTRIBUTING and SECURITY are correct: examples run, names exist."""

import re
from pathlib import Path

import pytest
from marked import Example, examples_of, marks_in, run

import aioadapt

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()

EXAMPLES = examples_of(ROOT / "README.md")
PROGRAMS = [example for example in EXAMPLES if example.marked]

# The README is also the page on the package index, where relative links are broken.
REPOSITORY = (
    "https://github.com/aioadapt/aioadapt/blob/main/",
    "https://github.com/aioadapt/aioadapt/tree/main/",
    "https://raw.githubusercontent.com/aioadapt/aioadapt/main/",
)


def test_every_mark_stands_before_an_example() -> None:
    """Otherwise a typo in a mark would silently exclude its example from the tests."""
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
    names = set(re.findall(r"(?<![\w/])aioadapt[.:]([A-Za-z_]+)", README))
    assert {"run", "new_event_loop"} <= names
    assert [name for name in sorted(names) if not hasattr(aioadapt, name)] == []


def links_in(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", text)


def test_every_link_in_the_readme_is_absolute() -> None:
    links = links_in(README)
    assert links
    assert [link for link in links if not link.startswith("https://")] == []


@pytest.mark.parametrize(
    "text",
    [README, CONTRIBUTING, SECURITY],
    ids=["README", "CONTRIBUTING", "SECURITY"],
)
def test_every_path_exists(text: str) -> None:
    linked = set()
    for link in links_in(text):
        for prefix in REPOSITORY:
            link = link.removeprefix(prefix)
        if not link.startswith("https://"):
            linked.add(link.partition("#")[0])
    named = re.findall(
        r"`((?:aioadapt|benchmarks|demo|docs|examples|tests|tools)"
        r"(?:/[\w*-]+)+(?:\.\w+)?)`",
        text,
    )
    paths = {*linked, *named}
    assert paths
    assert [path for path in sorted(paths) if not list(ROOT.glob(path))] == []


def test_every_heading_that_the_readme_links_to_exists() -> None:
    anchored = [link for link in links_in(README) if "#" in link]
    assert anchored
    for link in anchored:
        page, _, anchor = link.removeprefix(REPOSITORY[0]).partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
        assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


def test_every_command_of_run_that_is_named_exists() -> None:
    commands = re.search(r"^commands='(.*)'$", (ROOT / "run").read_text(), re.MULTILINE)
    assert commands
    for text in (README, CONTRIBUTING):
        named = set(re.findall(r"\./run (\w+)", text))
        assert named
        assert named <= set(commands[1].split())

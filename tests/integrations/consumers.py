"""The tables of ``docs/integrations.md``: each consumer, and the one line it needs.

Tests take the line from the page and run it unchanged, so that users read what has been
tested.  ``test_the_page.py`` checks that the page, the README, the extras in
``pyproject.toml`` and the tests agree.

A test names the rows that it proves: ``@pytest.mark.consumer("uvicorn")``.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "integrations.md"
README = ROOT / "README.md"
TESTS = ROOT / "tests"

SECTIONS = ("Servers", "Frameworks and clients", "Tests")
"""The headings in the page."""

_HEADING = re.compile(r"^#+ (.+)$")
_CELL_ENDS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Consumer:
    """One row of the page."""

    section: str
    name: str
    line: str  # without the backquotes around it
    needs: dict[str, str]  # distribution: oldest version
    tested: dict[str, str]  # distribution: version


def tables_of(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The heading above each table row, and the row's cells."""
    heading = ""
    for text in path.read_text().splitlines():
        if (found := _HEADING.match(text)) is not None:
            heading = found[1]
        elif text.startswith("| "):
            cells = [cell.strip() for cell in _CELL_ENDS.split(text)[1:-1]]
            if cells[0] != "with" and not set(cells[0]) <= {"-", " "}:
                yield heading, cells


def line_in(cell: str) -> str:
    """The cell's first piece of code; the rest is explanation."""
    found = re.search(r"`([^`]+)`", cell)
    assert found is not None, f"no line in {cell!r}"
    return found[1].replace(r"\|", "|")


def versions_in(cell: str) -> dict[str, str]:
    """The versions in ``gunicorn 27, uvicorn-worker 0.4``, by name."""
    found = re.findall(r"([\w.-]+) ([\d.]+)(?:, |$)", cell)
    assert len(found) == cell.count(",") + 1, f"no versions in {cell!r}"
    return dict(found)


@cache
def consumers() -> dict[str, Consumer]:
    found = [
        Consumer(section, name, line_in(line), versions_in(needs), versions_in(tested))
        for section, (name, line, needs, tested) in tables_of(PAGE)
        if section in SECTIONS
    ]
    assert len({consumer.name for consumer in found}) == len(found)
    return {consumer.name: consumer for consumer in found}


def line_of(name: str) -> str:
    """What the page tells the users of this consumer to type."""
    return consumers()[name].line


def commands_in_readme() -> list[str]:
    """The other servers' commands, with the page's name for the application."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.DOTALL | re.M)
    return [
        command.replace("main:app", "module:app")
        for block in blocks
        for command in block.splitlines()
        if "aioadapt" in command and not command.startswith(("aioadapt ", "pip "))
    ]


def marked_in(path: Path) -> Iterator[tuple[str, str]]:
    """Each ``mark.consumer("...")`` in a test file: the name, and where it is.

    Read from the source, so that tests of packages not installed here count, too.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "consumer"
        ):
            for argument in node.args:
                name = ast.literal_eval(argument)
                yield name, f"{path.relative_to(ROOT)}:{node.lineno}"

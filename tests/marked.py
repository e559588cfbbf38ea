"""Finds the Python blocks in Markdown, and which of them are whole programs.

A block directly under ``<!-- runs -->`` is run unchanged;
``<!-- runs from 3.12 -->`` and ``<!-- runs below 3.16 -->`` restrict the version.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from programs import run_python

EXAMPLE = re.compile(
    r"(?:<!-- runs(?: (?P<bound>from|below) 3\.(?P<minor>\d+))? -->\n)?"
    r"```python\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
MARK = re.compile(r"^<!-- runs\b", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One ``python`` block; *marked* ones are whole programs."""

    page: str
    line: int
    code: str
    marked: bool
    runs_here: bool

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}"


def examples_of(path: Path) -> list[Example]:
    text = path.read_text()
    found = []
    for match in EXAMPLE.finditer(text):
        bound, minor = match["bound"], int(match["minor"] or 0)
        here = sys.version_info.minor
        found.append(
            Example(
                page=path.name,
                line=text.count("\n", 0, match.start("code")) + 1,
                code=match["code"],
                marked=match[0].startswith("<!-- runs"),
                runs_here=(
                    here >= minor if bound == "from" else bound is None or here < minor
                ),
            )
        )
    return found


def marks_in(path: Path) -> int:
    return len(MARK.findall(path.read_text()))


def run(example: Example) -> None:
    """Run it as a separate program, which must leave nothing behind."""
    # Policies warn from Python 3.14 on, as documented.
    options = ["-W", "error", "-W", "default::DeprecationWarning"]
    ended = run_python(*options, "-", stdin=example.code)
    assert ended.status == 0, ended.err
    assert "Exception ignored" not in ended.err, ended.err

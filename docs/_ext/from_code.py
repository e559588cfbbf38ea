"""Parts of pages that are generated from the code when the pages are built.

A mark on a line of its own says where a part goes:

    <!-- from the code: phases diagram -->
    <!-- from the code: help serve -->

So these parts cannot differ from the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import commands, control, doctor, metrics, phases

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]

MARK = re.compile(r"^<!-- from the code: (?P<what>[\w -]+?) -->$", re.MULTILINE)


def report_pages() -> str:
    """The pages that ``./run report`` has written into ``docs/report``, if any."""
    pages = sorted(
        path.relative_to(DOCS).with_suffix("").as_posix()
        for path in (DOCS / "report").rglob("*.md")
    )
    if not pages:
        return ""
    return "\n".join(["```{toctree}", ":hidden:", "", *pages, "```"])


PARTS: dict[str, Callable[[], str]] = {
    "phases diagram": phases.diagram,
    "phases transitions": phases.transitions,
    "phases owners": phases.owners,
    "thresholds": control.thresholds,
    "rules": control.rules,
    "hints": control.hints,
    "decisions": control.decisions,
    "metrics": metrics.table,
    "kernels": doctor.kernels,
    "remedies": doctor.remedies,
    "demo help": commands.help_of_demo,
    "report pages": report_pages,
}


def made(what: str) -> str:
    """The Markdown of one part.

    Raises:
        KeyError: there is no such part.
        RuntimeError: there is no such command.
    """
    if what.startswith("help "):
        return commands.help_of(what.removeprefix("help "))
    return PARTS[what]()


def fill(text: str) -> str:
    """*text* with every mark replaced by its part."""
    return MARK.sub(lambda mark: made(mark["what"]), text)


def _source_read(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = fill(source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", _source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

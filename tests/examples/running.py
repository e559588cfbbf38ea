"""Runs an example as a user would: a separate program, with a time limit."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from programs import Program, started

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@contextlib.contextmanager
def running(
    *arguments: str, environ: dict[str, str] | None = None
) -> Iterator[Program]:
    """Run Python with *arguments* in the examples' folder."""
    command = [sys.executable, "-W", "error", *arguments]
    environ = {"PYTHONUNBUFFERED": "1", **(environ or {})}
    with started(*command, cwd=EXAMPLES, environ=environ) as example:
        yield example
    assert "Traceback" not in example.log, example.log
    assert "Exception ignored" not in example.log, example.log

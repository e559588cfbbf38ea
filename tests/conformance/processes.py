"""Runs the workers and says what became of every test.

A test that takes its process down with it, or that does not end, is a failed
test like another: a new process goes on behind it.  A test that fails is run
once more, alone, since many of CPython's look at the clock and the machine
may have been busy; one that fails again is run over asyncio's own loop, for
what fails there too tells nothing about ours.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

TESTS = Path(__file__).parents[1]

#: A hanging test ends its worker long before; this is for a hanging worker.
WORKER_ENDS_WITHIN_S = 600.0


@dataclass(frozen=True)
class Result:
    """What a worker wrote about one test."""

    test: str
    outcome: str
    text: str = ""
    took_s: float = 0.0
    ours: int = 0
    others: int = 0

    @property
    def of_class(self) -> str:
        return self.test.rpartition(".")[0]


def run_module(engine: str, module: str, only: Iterable[str] = ()) -> list[Result]:
    """Every selected test of a module, in its order; *only* these, if any are named."""
    results: list[Result] = []
    begun: list[str] = []
    while True:
        died_in, more, last_words = _run_worker(engine, module, only, begun)
        results += more
        if died_in is None:
            return results
        results.append(Result(died_in, "failed", last_words))


def look_again(
    engine: str, module: str, results: list[Result], expected: Collection[str]
) -> list[Result]:
    """The same results, but a failure that is not expected is surely ours."""
    return [
        _second_look(engine, module, result)
        if result.outcome == "failed" and result.test not in expected
        else result
        for result in results
    ]


def _second_look(engine: str, module: str, first: Result) -> Result:
    again = _alone(engine, module, first)
    if again.outcome != "failed":
        logger.warning("%s over %s failed once:\n%s", first.test, engine, first.text)
        return again
    over_asyncio = _alone("asyncio", module, first)
    if over_asyncio.outcome == "failed":
        return Result(first.test, "fails over asyncio too", over_asyncio.text)
    return again


def _alone(engine: str, module: str, result: Result) -> Result:
    for found in run_module(engine, module, only=[result.test]):
        if found.test == result.test:
            return found
    return result  # a setUpClass, which has no test of its own


def _run_worker(
    engine: str, module: str, only: Iterable[str], but: list[str]
) -> tuple[str | None, list[Result], str]:
    """The test that the process died in, the results before it, and its last words.

    Adds to *but* what was begun.

    Raises:
        RuntimeError: it died outside of all tests.
    """
    command = [sys.executable, "-m", "conformance.worker", engine, module]
    environment = dict(os.environ, PYTHONPATH=str(TESTS))
    environment.pop("PYTHONASYNCIODEBUG", None)
    with (
        tempfile.TemporaryDirectory() as folder,
        open(f"{folder}/words", "w+") as words,
    ):
        Path(folder, "only").write_text("\n".join(only))
        Path(folder, "but").write_text("\n".join(but))
        Path(folder, "here").mkdir()
        ended = subprocess.run(
            [*command, f"--only={folder}/only", f"--but={folder}/but"],
            cwd=f"{folder}/here",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            timeout=WORKER_ENDS_WITHIN_S,
            check=False,
        )
        words.seek(0)
        last_words = words.read()[-6000:]
    begun, results = None, []
    for line in ended.stdout.splitlines():
        said = json.loads(line)
        begun = said.pop("begins", None)
        if begun is None:
            results.append(Result(**said))
        else:
            but.append(begun)
    if begun is None and ended.returncode != 0:
        raise RuntimeError(
            f"the worker for {module} over {engine} ended with {ended.returncode}:\n"
            f"{last_words}"
        )
    return begun, results, f"ended with {ended.returncode}:\n{last_words}"

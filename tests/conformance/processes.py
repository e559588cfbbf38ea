"""Runs the workers and returns the outcome of every test.

A test that crashes its process or does not end counts as failed, and a new process
continues after it.  A failed test is run again, alone, because many of CPython's
tests depend on timing and the machine may have been busy.  If it fails again, it is
run on asyncio's own loop: a failure there as well says nothing about ours.
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

#: For a worker that hangs; a test that hangs ends its worker long before.
WORKER_ENDS_WITHIN_S = 600.0


@dataclass(frozen=True)
class Result:
    """What a worker reported about one test."""

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
    """Run a module's selected tests in order; if *only* is not empty, just those."""
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
    """The same results, with unexpected failures confirmed by further runs."""
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
    """The test in which the process died, the results before it, and its last output.

    Adds the tests that were started to *but*.

    Raises:
        RuntimeError: the process died outside any test.
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

"""A process that runs one module of CPython's asyncio tests on one engine.

It writes two lines of JSON for every test, one when the test starts and one with its
outcome, so that the reader knows in which test a process died.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import importlib
import json
import os
import sys
import time
import unittest
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

from loops import KINDS

from conformance.expected import expected_in
from conformance.selection import name_of, why_left_out
from conformance.substitution import Seen, substitute, substitute_in

#: The slowest take two seconds, or twenty on a very busy machine.
TEST_ENDS_WITHIN_S = 60.0

#: For tests that are expected to fail, because some of them fail by hanging.
DOOMED_ENDS_WITHIN_S = 4.0


class Reporting(unittest.TestResult):
    """Writes the results as JSON."""

    def __init__(self, out: TextIO, seen: Seen, doomed: Collection[str]) -> None:
        super().__init__()
        self.doomed = doomed
        self.out = out
        self.seen = seen
        self.outcome = ""
        self.texts: list[str] = []
        self.began_at = 0.0

    def say(self, **line: Any) -> None:
        self.out.write(json.dumps(line) + "\n")
        self.out.flush()

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().startTest(test)
        self.outcome, self.texts = "", []
        self.seen.take()
        self.say(begins=name_of(test))
        is_doomed = name_of(test) in self.doomed
        ends_within_s = DOOMED_ENDS_WITHIN_S if is_doomed else TEST_ENDS_WITHIN_S
        faulthandler.dump_traceback_later(ends_within_s, exit=True)
        self.began_at = time.perf_counter()

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        took_s = time.perf_counter() - self.began_at
        faulthandler.cancel_dump_traceback_later()
        self.ended(name_of(test), self.outcome or "passed", took_s)
        super().stopTest(test)

    def ended(self, name: str, outcome: str, took_s: float) -> None:
        ours, others = self.seen.take()
        self.say(
            test=name,
            outcome=outcome,
            text="\n".join(self.texts),
            took_s=round(took_s, 3),
            ours=ours,
            others=others,
        )

    def failed(self, test: unittest.TestCase, error: Any) -> None:
        self.texts.append(self._exc_info_to_string(error, test))  # type: ignore[attr-defined]
        if isinstance(test, unittest.TestCase):
            self.outcome = "failed"
        else:  # unittest's placeholder for a setUpClass or a tearDownModule
            self.ended(str(test), "failed", 0.0)

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        self.failed(test, err)

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        self.failed(test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        if err is not None:
            self.failed(test, err)

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        self.texts.append(reason)
        if isinstance(test, unittest.TestCase):
            self.outcome = self.outcome or "skipped"
        else:
            self.ended(str(test), "skipped", 0.0)

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        self.texts.append("CPython expects it to fail")
        self.outcome = "failed"


def tests_of(suite: Any) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


def selected(module: str, only: set[str], but: set[str]) -> Iterator[unittest.TestCase]:
    imported = importlib.import_module(
        module if "." in module else f"test.test_asyncio.{module}"
    )
    substitute_in(imported)
    for test in tests_of(unittest.defaultTestLoader.loadTestsFromModule(imported)):
        name = name_of(test)
        if name in but or (only and name not in only):
            continue
        if why_left_out(module, name) is None:
            yield test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=(*KINDS, "adaptive"))
    parser.add_argument("module")
    parser.add_argument("--only", type=names, default=set(), help="a file of names")
    parser.add_argument("--but", type=names, default=set(), help="likewise")
    options = parser.parse_args()
    # The tests may print anything, so the report uses its own descriptor.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    faulthandler.enable()

    seen = substitute(options.engine)
    tests = selected(options.module, options.only, options.but)
    suite = unittest.TestSuite(tests)
    # Some tests collect garbage a hundred times; exclude what was imported.
    gc.collect()
    gc.freeze()
    suite.run(Reporting(out, seen, expected_in(options.module)))


def names(path: str) -> set[str]:
    return set(Path(path).read_text().split("\n")) - {""}


if __name__ == "__main__":  # multiprocessing's children import this file again
    main()

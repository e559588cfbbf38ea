"""A pytest plugin that records the outcome of each test and which loops ran in it.

It writes one line of JSON when a test begins and one when it ends, each immediately:
if the process dies, the last line shows in which test.  Tests that already have a
result in the file are not run again, so a new run continues after the test in which
the last one died.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import re
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(os.environ["FOREIGN_RESULTS"])

#: A file with the tests to run, one name per line; None: all.
ONLY = Path(os.environ["FOREIGN_ONLY"]) if "FOREIGN_ONLY" in os.environ else None

# As a project's own runner does.
if "FOREIGN_SILENCED" in os.environ:
    logging.getLogger(os.environ["FOREIGN_SILENCED"]).setLevel(logging.CRITICAL)

_ran: Counter[str] = Counter()
_began_s = 0.0
_worst: dict[str, Any] = {}


def write(line: dict[str, Any]) -> None:
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def count_runs_of_loops() -> None:
    """All three kinds of loop call this method each time that they run."""
    run_forever = asyncio.BaseEventLoop.run_forever

    def counting(self: asyncio.BaseEventLoop) -> None:
        _ran[f"{type(self).__module__}.{type(self).__qualname__}"] += 1
        run_forever(self)

    asyncio.BaseEventLoop.run_forever = counting  # type: ignore[method-assign]


def pytest_configure(config: pytest.Config) -> None:
    count_runs_of_loops()
    if os.environ.get("FOREIGN_STANDS_IN_FOR") == "uvloop":
        hold_uvloops_tests_to_asyncio()


def hold_uvloops_tests_to_asyncio() -> None:
    """If its tests expect different results from uvloop and asyncio, use asyncio's."""
    _testbase: Any = importlib.import_module("uvloop._testbase")
    _testbase.BaseTestCase.is_asyncio_loop = lambda self: True
    _testbase.UVTestCase.implementation = "asyncio"


def pytest_collection_modifyitems(
    items: list[pytest.Item], config: pytest.Config
) -> None:
    """Run the tests that are wanted and have no result yet."""
    done: set[str] = set()
    if RESULTS.exists():
        text = RESULTS.read_text()
        lines = [json.loads(line) for line in text.splitlines() if line]
        done = {line["test"] for line in lines if "outcome" in line}
    wanted = set(ONLY.read_text().splitlines()) if ONLY is not None else None
    left_out = [
        item
        for item in items
        if (test := lasting(item.nodeid)) in done
        or (wanted is not None and test not in wanted)
        or not is_ours(item)
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def is_ours(item: pytest.Item) -> bool:
    """Does the file belong to this process's share of the suite?"""
    number, of = map(int, os.environ["FOREIGN_SHARE"].split("/"))
    return zlib.crc32(item.path.name.encode()) % of == number


def lasting(nodeid: str) -> str:
    """The name of the test without what depends on the process or the loop."""
    nodeid = re.sub(r"0x[0-9a-f]+", "0x..", nodeid)
    return re.sub(
        r"(_UnixSelector|Epoll|Uring|Adaptive|Changing)EventLoop",
        "SelectorEventLoop",
        nodeid,
    )


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        write(
            {
                "test": lasting(report.nodeid),
                "outcome": "error",
                "why": last_line(report),
            }
        )


def pytest_runtest_logstart(nodeid: str) -> None:
    global _began_s
    _ran.clear()
    _worst.clear()
    _began_s = time.monotonic()
    write({"test": lasting(nodeid), "began": True})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    outcome = outcome_of(report)
    if RANK.index(outcome) >= RANK.index(_worst.get("outcome", RANK[0])):
        _worst.update(outcome=outcome, why=last_line(report))


def pytest_runtest_logfinish(nodeid: str) -> None:
    took_s = round(time.monotonic() - _began_s, 3)
    write({"test": lasting(nodeid), **_worst, "loops": dict(_ran), "took_s": took_s})


#: The worst of set-up, call and tear-down is the outcome.
RANK = ("", "passed", "xfailed", "skipped", "error", "failed")


def outcome_of(report: pytest.TestReport) -> str:
    if report.failed:
        return "failed" if report.when == "call" else "error"
    if report.skipped:
        return "xfailed" if hasattr(report, "wasxfail") else "skipped"
    return "passed" if report.when == "call" else ""


def last_line(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "")
    return str(text)[:400]

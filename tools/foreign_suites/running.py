"""Runs one suite over one loop to the end, even if processes crash or hang.

``inject/witness.py`` records each test when it begins and when it ends.  That file
shows in which test a process crashed or hung.  This becomes the result of the test,
and a new process continues after it.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .environment import FOREIGN, INJECT, PYTHON, Environment
from .suites import Suite

KINDS = ("asyncio", "epoll", "uring", "adaptive", "changing")
"""The last is an adaptive loop whose preferred engine changes every millisecond."""

#: A single test may take as long as its suite allows, at most 120 s in the first four.
#: A process without any progress for this long counts as hung.
STANDS_STILL_AFTER_S = 300

ALL_PASSED, SOME_FAILED, NONE_FOUND = 0, 1, 5


@dataclass(frozen=True)
class Result:
    outcome: str
    """passed, failed, error, skipped, xfailed, crashed or hung."""
    why: str = ""
    loops: dict[str, int] = field(default_factory=dict)
    """How many times each class of loop ran in the test's own process."""
    took_s: float = 0.0


Results = dict[str, Result]


class SuiteError(Exception):
    """pytest ended early, but not in a test; the reason is in the log."""


def results_file(suite: Suite, kind: str, name: str = "") -> Path:
    folder = FOREIGN / "results"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{suite.name}-{PYTHON}-{kind}{name}.jsonl"


def run_suite(
    suite: Suite,
    environment: Environment,
    kind: str,
    tests: Iterable[str] | None = None,
    name: str = "",
    resume: bool = False,
    processes: int = 1,
) -> Results:
    """Run a suite over the loop *kind*: all tests, or *tests*, or what has no result.

    Args:
        suite: the suite.
        environment: where it runs.
        kind: one of KINDS.
        tests: only these, named as in the results.
        name: distinguishes the files of this run from those of others.
        resume: skip tests that have a result from the last run.
        processes: how many processes share the files of the suite.

    Raises:
        SuiteError: the suite cannot be run.
    """
    file = results_file(suite, kind, name)
    if not resume:
        file.unlink(missing_ok=True)
    only = None
    if tests is not None:
        only = file.with_suffix(".only")
        only.write_text("\n".join(tests))
    shares = [
        Share(k, processes, f"{name}-{k + 1}of{processes}") for k in range(processes)
    ]
    with ThreadPoolExecutor(processes) as threads:
        parts = list(
            threads.map(lambda s: run_share(suite, environment, kind, only, s), shares)
        )
    lines = [line for part in parts for line in part.read_text().splitlines()]
    file.write_text("\n".join(dict.fromkeys(lines)) + "\n")
    for part in parts:
        part.unlink()
    return read(file)


@dataclass(frozen=True)
class Share:
    number: int
    of: int
    name: str


def run_share(
    suite: Suite, environment: Environment, kind: str, only: Path | None, share: Share
) -> Path:
    """Run one share of the files to the end; returns the file with its results."""
    file = results_file(suite, kind, share.name)
    whole = results_file(suite, kind, share.name.rpartition("-")[0])
    file.write_text(whole.read_text() if whole.exists() else "")
    log = file.with_suffix(".log")
    log.unlink(missing_ok=True)
    while True:
        status, hung = run_pytest(suite, environment, kind, only, share, file, log)
        if status in (ALL_PASSED, NONE_FOUND) and not hung:
            return file
        if status == SOME_FAILED and not hung and read(file):
            return file
        unfinished = began_last(file)
        if unfinished is None:
            raise SuiteError(
                f"{suite.name} over {kind}: pytest exited with {status}, see {log}"
            )
        outcome = "hung" if hung else "crashed"
        why = (
            f"no progress for {STANDS_STILL_AFTER_S} s"
            if hung
            else f"exit status {status}"
        )
        with file.open("a") as lines:
            line = {"test": unfinished, "outcome": outcome, "why": why}
            lines.write(json.dumps(line) + "\n")


def run_pytest(
    suite: Suite,
    environment: Environment,
    kind: str,
    only: Path | None,
    share: Share,
    file: Path,
    log: Path,
) -> tuple[int, bool]:
    """The exit status, and whether the process was killed because it hung."""
    variables = {
        **os.environ,
        "FOREIGN_LOOP": kind,
        "FOREIGN_RESULTS": str(file),
        "FOREIGN_SHARE": f"{share.number}/{share.of}",
        "FOREIGN_STANDS_IN_FOR": suite.stands_in_for,
        "PYTHONPATH": str(INJECT),
        **suite.variables,
    }
    variables.pop("VIRTUAL_ENV", None)
    if only is not None:
        variables["FOREIGN_ONLY"] = str(only)
    plugins = [f"-p{plugin}" for plugin in ("witness", *suite.plugins)]
    if suite.plugins:
        variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    variables["PATH"] = f"{environment.python.parent}:{variables['PATH']}"
    command = [
        *with_ipv6_localhost(),
        *(not_as_root() if suite.refuses_root else ()),
        *("nice", str(environment.python.with_name("pytest")), "-q", "--tb=short"),
        *("-p", "no:cacheprovider", *plugins, *suite.options),
    ]
    with log.open("a") as output:
        process = subprocess.Popen(
            command,
            cwd=environment.source,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A process group of its own: a test's signal to its group must not reach
            # us, and what a hung test has started is killed with it.
            start_new_session=True,
        )
        try:
            return wait_for(process, file)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def with_ipv6_localhost() -> list[str]:
    """A command prefix that makes "localhost" resolve to ::1 as well.

    /etc/hosts of many containers lacks this, and then many IPv6 tests fail, on
    asyncio as well.  Root can give a single command its own version of the file.
    """
    hosts = Path("/etc/hosts").read_text()
    if os.geteuid() != 0 or re.search(r"^::1\s.*\blocalhost\b", hosts, re.MULTILINE):
        return []
    tried = subprocess.run(
        ["unshare", "--mount", "true"], check=False, capture_output=True
    )
    if tried.returncode:
        return []  # not permitted in this container or chroot
    file = FOREIGN / "hosts"
    file.write_text(f"{hosts}\n::1 localhost\n")
    bind = 'mount --bind "$0" /etc/hosts && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", bind, str(file)]


def not_as_root() -> list[str]:
    """A command prefix with which root looks like the user "daemon" to the command.

    In a user namespace of its own the files stay accessible, because their owner,
    root, looks like that user as well.
    """
    if os.geteuid() != 0:
        return []
    daemon = pwd.getpwnam("daemon")
    ids = (f"--map-user={daemon.pw_uid}", f"--map-group={daemon.pw_gid}")
    return ["unshare", "--user", *ids]


def wait_for(process: subprocess.Popen[bytes], file: Path) -> tuple[int, bool]:
    size = -1
    while True:
        try:
            return process.wait(STANDS_STILL_AFTER_S), False
        except subprocess.TimeoutExpired:
            now = file.stat().st_size if file.exists() else 0
            if now == size:
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait(), True
            size = now


def read(file: Path) -> Results:
    results: Results = {}
    for line in lines_of(file):
        if "outcome" in line:
            fields = {
                name: line[name] for name in ("why", "loops", "took_s") if name in line
            }
            results[line["test"]] = Result(line["outcome"], **fields)
    return results


def began_last(file: Path) -> str | None:
    """The test that has begun but has no result, if there is one."""
    began = None
    for line in lines_of(file):
        began = line["test"] if "outcome" not in line else None
    return began


def lines_of(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines() if line]

"""The command line of ``tools/mutants``.

The copy is built once; a fault then costs the compilation of one module.  First comes
the test that found it last time (found_by.json), then those of its own room, then all.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.second_build import BUILDS, ROOT, build_environment, second_build

from .table import MUTANTS, Mutant

FOLDER = BUILDS / "mutants"
TREE = FOLDER / "tree"

FIRST = {
    "_kernel": ["kernel", "loop", "stream", "parity"],
    "_loop": ["loop", "parity", "stream", "migration"],
    "_engine": ["stream", "parity", "migration", "bad_input"],
    "_stream": ["stream", "parity", "migration", "bad_input"],
    "_datagram": ["parity", "bad_input"],
    "_http1": ["http1", "stream"],
    "migration": ["migration", "stream"],
    "control": ["control", "serving"],
    "standby": ["control", "serving"],
    "serving": ["serving", "cli"],
    "loop_thread.py": ["migration"],
    "native_loop.py": ["migration", "stream", "parity"],
}
"""Tests by room, those that find most first."""

OTHERS = [f"tests/{folder}" for folder in ("docs", "experiment", "benchmarks", "tools")]
"""They measure, or look at the tree itself."""

FAILED = re.compile(r"^\[gw\d+\] .*(?:FAILED|ERROR) (\S.*?) *$", re.M)
"""How pytest-xdist shows it while the tests run."""

FOUND_BY = Path(__file__).with_name("found_by.json")

LIMIT_S = 1200.0
"""Of a whole run, ample: a test that hangs ends after its own limit."""


def copy_tree() -> None:
    TREE.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    names = {name for name in listed if name and (ROOT / name).is_file()}
    for path in TREE.rglob("*"):
        name = path.relative_to(TREE).as_posix()
        if path.is_file() and name not in names and "__pycache__" not in name:
            path.unlink()
    for name in sorted(names):
        source, target = ROOT / name, TREE / name
        # Unchanged files keep their time, so that ninja need not compile them.
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


class Copy:
    """The built copy of the tree."""

    def __init__(self) -> None:
        copy_tree()
        self.python = second_build(
            "mutants", TREE, setup=["-Dtesting=true", "-Doptimization=0"]
        )
        site = next((FOLDER / "venv" / "lib").glob("python3*"))
        self.package = site / "site-packages" / "aioadapt"
        self.log = FOLDER / "log"
        self._faulty: set[str] = set()
        """What is installed with a fault."""

    @contextmanager
    def with_fault(self, mutant: Mutant) -> Iterator[None]:
        path = TREE / "aioadapt" / mutant.file
        before = path.read_text()
        assert before.count(mutant.old) == 1, (mutant.file, mutant.old)
        path.write_text(before.replace(mutant.old, mutant.new))
        try:
            self._install({mutant.file, *self._faulty})
            self._faulty = {mutant.file}
            yield
        finally:
            # It is built and installed again together with the next one.
            path.write_text(before)

    def _install(self, names: set[str]) -> None:
        if any(name.endswith(".pyx") for name in names):
            subprocess.run(
                ["ninja", "-C", str(FOLDER / "meson")],
                env=build_environment(),
                capture_output=True,
                check=True,
            )
        for name in names:
            if name.endswith(".py"):
                shutil.copy(TREE / "aioadapt" / name, self.package / name)
                continue
            stem = name.removesuffix(".pyx")
            (built,) = (FOLDER / "meson" / "aioadapt").glob(f"{stem}.*.so")
            target = self.package / built.relative_to(FOLDER / "meson" / "aioadapt")
            # A new file: a process may still have the old one mapped.
            target.unlink()
            shutil.copy(built, target)

    def finds(self, tests: list[str], *ignored: str) -> str:
        """Which of these tests fails first; "" if none does."""
        command = [str(self.python), "-m", "pytest", "-x", "-v", "--timeout", "30"]
        command += ["-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider"]
        command += [f"--ignore={folder}" for folder in ignored]
        with self.log.open("w") as log:
            process = subprocess.Popen(
                command + tests,
                cwd=TREE,
                env=build_environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                # Not until it ends: of a loop that hangs it tries two tests at a time,
                # and each takes its time.
                ends_at_s = time.monotonic() + LIMIT_S
                while process.poll() is None and time.monotonic() < ends_at_s:
                    if failed := FAILED.search(self.log.read_text()):
                        return failed[1]
                    time.sleep(0.5)
            finally:
                # Workers, and what their tests have started.
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                status = process.wait()
        if failed := FAILED.search(self.log.read_text()):
            return failed[1]
        return f"pytest ended with {status}" if status else ""


class FoundBy:
    """The test that found each fault last time."""

    def __init__(self) -> None:
        self._tests: dict[str, str] = json.loads(FOUND_BY.read_text())

    @staticmethod
    def _key(mutant: Mutant) -> str:
        return f"{mutant.file}: {mutant.old.strip()} -> {mutant.new.strip()}"

    def get(self, mutant: Mutant) -> str | None:
        test = self._tests.get(self._key(mutant))
        return test if test and (ROOT / test.split("::")[0]).exists() else None

    def put(self, mutant: Mutant, test: str) -> None:
        self._tests[self._key(mutant)] = test
        known = {key: self._tests.get(key) for key in map(self._key, MUTANTS)}
        self._tests = {key: test for key, test in known.items() if test}
        FOUND_BY.write_text(json.dumps(self._tests, indent=1) + "\n")


def find(copy: Copy, mutant: Mutant, found_by: FoundBy) -> str:
    """The test that finds it; "" if none does."""
    first = [f"tests/{folder}" for folder in FIRST[mutant.file.split("/")[0]]]
    last_time = found_by.get(mutant)
    with copy.with_fault(mutant):
        # A test that has been renamed is no finding.
        if last_time and (found := copy.finds([last_time])) == last_time:
            return found
        found = copy.finds(first) or copy.finds(["tests"], *OTHERS, *first)
        if "::" in found:
            found_by.put(mutant, found)
        return found


def chosen(names: list[str], only: list[int] | None) -> list[tuple[int, Mutant]]:
    numbered = list(enumerate(MUTANTS, 1))
    if only:
        return [(n, m) for n, m in numbered if n in only]
    return [(n, m) for n, m in numbered if not names or m.file.startswith(tuple(names))]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/mutants", description="Which of a table of small faults survive?"
    )
    parser.add_argument("files", nargs="*", help="files or folders under aioadapt/")
    parser.add_argument("--list", action="store_true", help="list the faults")
    parser.add_argument("--number", type=int, action="append", help="only this one")
    options = parser.parse_args()
    mutants = chosen(options.files, options.number)
    if options.list:
        for number, mutant in mutants:
            print(
                f"{number:3} {mutant.file}: {mutant.old.strip()!r} -> {mutant.new.strip()!r}"
            )
        return 0
    copy = Copy()
    if (test := copy.finds(["tests"], *OTHERS)) and copy.finds([test]):
        print(f"{test} fails without any fault")
        return 2
    found_by = FoundBy()
    survivors = []
    for number, mutant in mutants:
        if mutant.equivalent:
            print(f"{number:3} {mutant.file:32}   equivalent: {mutant.equivalent}")
            continue
        began_s = time.monotonic()
        copy.log = FOLDER / f"log-{number}"
        try:
            outcome = find(copy, mutant, found_by) or "SURVIVES"
        except subprocess.CalledProcessError as error:
            outcome = f"does not compile: {error.stdout[-300:]!r}"
        if outcome == "SURVIVES":
            survivors.append(number)
        took_s = time.monotonic() - began_s
        print(f"{number:3} {mutant.file:32} {took_s:5.0f} s  {outcome}", flush=True)
    real = [m for _, m in mutants if not m.equivalent]
    killed = len(real) - len(survivors)
    print(
        f"{killed} of {len(real)} faults were found"
        f" ({killed / len(real):.1%}); {len(mutants) - len(real)} more are equivalent"
        if real
        else "nothing to try"
    )
    if survivors:
        print(f"not found: {', '.join(map(str, survivors))}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())

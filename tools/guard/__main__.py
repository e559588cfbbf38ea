"""The command line of ``./run guard``."""

import argparse
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import aioadapt
from tools.second_build import BUILDS, ROOT, BuildError, second_build

from .counting import Cost, CountingError, count, progress
from .server import RUN, SERVED

ROWS = [*SERVED, *RUN]
ENGINES = ["epoll", "uring", "adaptive"]


def commit_of(revision: str) -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"guard: there is no revision {revision!r} in this checkout")
    return done.stdout.strip()


def sources_of(commit: str) -> Path:
    folder = BUILDS / f"guard-{commit[:12]}" / "sources"
    if not folder.exists():
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, capture_output=True, check=True
        )
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
    return folder


def percent(before: float, now: float) -> str:
    return f"{(now / before - 1):+.2%}" if before else "-"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./run guard",
        description="Compare the working tree with a revision: user instructions and "
        "system calls per operation.",
    )
    parser.add_argument("revision", help="a commit, a branch, HEAD~3 ...")
    parser.add_argument("--rows", default=",".join(ROWS), help=", ".join(ROWS))
    parser.add_argument("--engines", default=",".join(ENGINES), help=", ".join(ENGINES))
    parser.add_argument(
        "--instructions",
        type=float,
        default=1.0,
        metavar="PERCENT",
        help="how many more are too many [%(default)s]",
    )
    options = parser.parse_args()
    rows, engines = options.rows.split(","), options.engines.split(",")
    if unknown := {*rows} - {*ROWS} | {*engines} - {*ENGINES}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if "uring" in engines and not aioadapt.uring_support().available:
        print(f"guard: without uring: {aioadapt.uring_support().reason}")
        engines.remove("uring")
    commit = commit_of(options.revision)
    try:
        progress(f"building {options.revision}")
        before = second_build(f"guard-{commit[:12]}", sources_of(commit))
        progress("building the working tree")
        now = second_build("guard")
        return compare(before, now, rows, engines, options.instructions)
    except (BuildError, CountingError) as error:
        progress("")
        print(f"guard: {error}", file=sys.stderr)
        return 2


def compare(
    before: Path, now: Path, rows: list[str], engines: list[str], most_percent: float
) -> int:
    head = ("row", "instructions/op", "before", "change", "calls/op", "before")
    print(("{:18}" + "{:>17}" * 5).format(*head))
    print("before, of adaptive: the epoll loop of the working tree")
    worse = []
    for row in rows:
        for engine in engines:
            progress(f"{row} on {engine}")
            # With nothing on its ring an adaptive loop may cost no more than epoll does.
            is_adaptive = engine == "adaptive"
            old = (
                count(now, row, "epoll") if is_adaptive else count(before, row, engine)
            )
            new = count(now, row, engine)
            progress("")
            name = f"{row} {engine}"
            print(
                f"{name:18}{new.instructions:17,.1f}{old.instructions:17,.1f}"
                f"{percent(old.instructions, new.instructions):>17}"
                f"{new.all_calls:17.4f}{old.all_calls:17.4f}",
                flush=True,
            )
            worse += why_worse(name, old, new, most_percent)
    for why in worse:
        print(f"worse: {why}")
    return 1 if worse else 0


def why_worse(name: str, old: Cost, new: Cost, most_percent: float) -> list[str]:
    found = []
    if new.instructions > old.instructions * (1 + most_percent / 100):
        found.append(
            f"{name}: {percent(old.instructions, new.instructions)} instructions"
        )
    # A call in a hundred operations is one that an operation makes; less is an accident.
    if new.all_calls > old.all_calls + 0.01:
        more = {
            call: times - old.calls.get(call, 0.0)
            for call, times in new.calls.items()
            if times > old.calls.get(call, 0.0)
        }
        calls = ", ".join(f"{call} {times:+.3f}" for call, times in more.items())
        found.append(f"{name}: more system calls per operation: {calls}")
    return found


if __name__ == "__main__":
    sys.exit(main())

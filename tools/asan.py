"""``./run asan [pytest args]``: the tests, the compiled modules under AddressSanitizer.

Every module of ours is built with it; the interpreter is not, so its runtime library
is loaded before everything else, and Python's objects come from malloc, where a use
after a free is seen.  Leaks are not looked for: the interpreter has its own.
"""

import argparse
import os
import subprocess
import sys

from tools.second_build import ROOT, second_build

NEEDS_ANOTHER_RUNTIME = ["tests/experiment", "tests/demo"]
"""matplotlib's C++ ends the process where a sanitizer was preloaded."""


def runtime() -> str:
    """The library that belongs to the compiler."""
    done = subprocess.run(
        ["cc", "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./run asan", usage="./run asan [pytest args]", description=__doc__
    )
    # In their order: an option may be followed by its value.
    _, arguments = parser.parse_known_args()
    if not arguments:
        ignored = [f"--ignore={folder}" for folder in NEEDS_ANOTHER_RUNTIME]
        arguments = ["-n", "auto", "--dist", "loadfile", "-q", *ignored, "tests"]
    python = second_build(
        "asan",
        setup=["-Dtesting=true", "-Db_sanitize=address", "-Db_lundef=false"],
    )
    environment = os.environ | {
        "LD_PRELOAD": runtime(),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:handle_segv=0",
    }
    # Everything takes two to three times as long.
    command = [str(python), "-m", "pytest", "--timeout", "240", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

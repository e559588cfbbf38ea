"""``./run faults``: build with ``-Dfaults=true``, and play schedules over that build.

Every call of our modules that a plan can let fail is linked to
``aioadapt/_testing/faults.c`` in it, which is loaded before everything else.
"""

import os
import subprocess
import sys

from tools.second_build import ROOT, second_build


def main() -> int:
    python = second_build("faults", setup=["-Dtesting=true", "-Dfaults=true"])
    library = next(python.parents[1].rglob("libaioadapt-faults.so"))
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "FAULTS_LIBRARY": str(library),
        "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}",
    }
    # First that each call can fail as it should; then what happens to programs.
    if len(sys.argv) == 1:
        tests = [str(python), "-m", "pytest", "-q", "tests/faults"]
        done = subprocess.run(tests, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            return done.returncode
    command = [str(python), "-W", "ignore", "-m", "faults", *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

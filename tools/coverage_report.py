"""``./run coverage [pytest args]``: which lines of Python and Cython no test reaches.

Cython's C carries ``#line`` directives, so gcc's own coverage counts lines of the
``.pyx`` files, at the speed of compiled code and without the GIL too.  Python lines
come from coverage.py.  Both count in the processes that tests start; what a killed
process has counted is lost.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import coverage

from tools.second_build import BUILDS, ROOT, second_build

FOLDER = BUILDS / "coverage"
NO_CODE = re.compile(
    r"\s*(#|$|cdef (class|enum|struct|extern)|@|\"\"\"|c?import |from )"
)
"""Lines that Cython gives C code for at import, or none at all."""


def clear() -> None:
    for path in [*FOLDER.rglob("*.gcda"), *FOLDER.glob("data*")]:
        path.unlink()


def run_tests(python: Path, arguments: list[str]) -> int:
    settings = FOLDER / "coveragerc"
    settings.write_text(
        "[run]\nsource_pkgs = aioadapt\nparallel = true\n"
        f"data_file = {FOLDER / 'data'}\nconcurrency = thread, multiprocessing\n"
    )
    # In every process of this build; the name is last in the alphabet, for Python reads
    # these files in its order, and coverage has to be found.
    site = next((FOLDER / "venv" / "lib").glob("python3*")) / "site-packages"
    (site / "zz_coverage.pth").write_text(
        "import coverage; coverage.process_startup()\n"
    )
    command = ["-m", "coverage", "run", f"--rcfile={settings}", "-m", "pytest"]
    return subprocess.run(
        [str(python), *command, *arguments],
        cwd=ROOT,
        env=os.environ | {"COVERAGE_PROCESS_START": str(settings)},
        check=False,
    ).returncode


def python_lines() -> dict[str, tuple[set[int], set[int]]]:
    """By file: the lines that can run, and those that did not."""
    data = coverage.Coverage(config_file=str(FOLDER / "coveragerc"))
    data.combine()
    data.save()
    found = {}
    for name in data.get_data().measured_files():
        if name.endswith(".py"):
            _, lines, _, missing, _ = data.analysis2(name)
            found[in_package(name)] = (set(lines), set(missing))
    return found


def in_package(name: str) -> str:
    return name[name.rindex("/aioadapt/") + 1 :]


def cython_lines() -> dict[str, tuple[set[int], set[int]]]:
    ran: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for notes in (FOLDER / "meson").rglob("*.gcno"):
        done = subprocess.run(
            ["gcov", "--json-format", "--stdout", notes.name],
            cwd=notes.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        for line in done.stdout.splitlines():
            for file in json.loads(line)["files"]:
                if file["file"].endswith(".pyx"):
                    counts = ran[file["file"][file["file"].index("aioadapt/") :]]
                    for each in file["lines"]:
                        counts[each["line_number"]] += each["count"]
    found = {}
    for name, counts in ran.items():
        text = (ROOT / name).read_text().splitlines()
        lines = {n for n in counts if n <= len(text) and not NO_CODE.match(text[n - 1])}
        found[name] = (lines, {n for n in lines if not counts[n]})
    return found


def ranges(numbers: Iterable[int]) -> str:
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in parts)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./run coverage", usage="./run coverage [pytest args]", description=__doc__
    )
    # In their order: an option may be followed by its value.
    _, arguments = parser.parse_known_args()
    python = second_build(
        "coverage", setup=["-Dtesting=true", "-Db_coverage=true", "-Dbuildtype=debug"]
    )
    clear()
    status = run_tests(python, arguments or ["-n", "auto", "--dist", "loadfile", "-q"])
    files = {**python_lines(), **cython_lines()}
    rooms: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    print(f"\n{'file':44}{'lines':>7}{'missed':>8}{'covered':>9}  not reached")
    for name, (lines, missing) in sorted(files.items()):
        share = 1 - len(missing) / len(lines) if lines else 1.0
        print(f"{name:44}{len(lines):7}{len(missing):8}{share:9.1%}  {ranges(missing)}")
        for each in (name.split("/")[1], "all"):
            rooms[each][0] += len(lines)
            rooms[each][1] += len(missing)
    print()
    for room, (count, missed) in sorted(rooms.items(), key=lambda item: item[0]):
        if not room.endswith(".py"):
            print(f"{room:44}{count:7}{missed:8}{1 - missed / max(count, 1):9.1%}")
    return status


if __name__ == "__main__":
    sys.exit(main())

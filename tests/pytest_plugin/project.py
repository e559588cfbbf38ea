"""A user's project: a folder of tests, and the outcome of running pytest on it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from programs import run_python

INI = """
    [pytest]
    addopts = -p no:cacheprovider -rA --strict-markers --strict-config
    filterwarnings = error
"""

# A test that calls it writes a line with its name and the loop it runs on.
NOTED = """
    import asyncio
    import os
    import sys


    def name_of_this_test():
        return os.environ["PYTEST_CURRENT_TEST"].split("::", 1)[1].rpartition(" (")[0]


    def note():
        loop = asyncio.get_running_loop()
        with open(os.environ["NOTED"], "a") as file:
            print(name_of_this_test(), type(loop).__name__, sep="\\t", file=file)
        return loop
"""

OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR) \S+?\.py::(.+?)(?: - .*)?$", re.M)

DEFAULT = "_UnixSelectorEventLoop"
EPOLL = "EpollEventLoop"
URING = "UringEventLoop"


@dataclass(frozen=True)
class Outcome:
    """The outcome of each test, by its id without the file name."""

    status: int
    output: str
    loops: dict[str, str] = field(repr=False)
    """The loops of the tests that noted theirs."""

    @property
    def tests(self) -> dict[str, str]:
        summary = self.output.rpartition("short test summary info")[2]
        return {name: outcome for outcome, name in OUTCOME.findall(summary)}


class Project:
    def __init__(self, folder: Path, ini: str = "", **files: str) -> None:
        self.folder = folder
        self.write("noted.py", NOTED)
        (folder / "pytest.ini").write_text(dedent(INI) + dedent(ini))
        for name, text in files.items():
            self.write(f"{name}.py", text)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(dedent(text))

    def run(self, *arguments: str, instead: Path | None = None) -> Outcome:
        """*instead*: a folder of packages to use instead of the installed ones."""
        noted = self.folder / "noted.txt"
        noted.unlink(missing_ok=True)
        done = run_python(
            *("-W", "error", "-m", "pytest", *arguments),
            cwd=self.folder,
            environ={
                "COLUMNS": "200",  # wide enough to show all lines in full
                "NOTED": str(noted),
                "PYTHONPATH": str(instead or ""),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "",
            },
        )
        lines = noted.read_text().splitlines() if noted.exists() else []
        loops = dict(line.split("\t") for line in lines)
        return Outcome(done.status, done.out + done.err, loops)

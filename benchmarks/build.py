"""Compiles the C programs of this folder when they are first needed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "benchmarks"

FLAGS = ["-O2", "-std=gnu11", "-Wall", "-Wextra"]

#: What each program is linked with, in order of preference.  The static archive
#: of liburing is complete; a distribution's shared one may not be.
LIBRARIES: dict[str, list[list[str]]] = {
    "c_echo_epoll": [[]],
    "c_datagrams_epoll": [[]],
    "c_echo_uring": [["-l:liburing.a"], ["-luring"]],
}


class BuildError(Exception):
    """A C program cannot be compiled here; the message says what is missing."""


def program(name: str) -> Path:
    """The path of a program, compiled now if it is not up to date."""
    source, target = HERE / f"{name}.c", BUILD / name
    if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
        return target
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise BuildError(
            f"cannot compile {source.name}: {compiler[0]!r} is not installed "
            "(a C compiler is needed: apt-get install gcc libc6-dev, or set CC)"
        )
    BUILD.mkdir(parents=True, exist_ok=True)
    # Replaced in one step: a run in progress keeps its program, and an interrupted
    # compiler leaves nothing behind.
    unfinished = target.with_suffix(f".{os.getpid()}")
    complaint = ""
    for libraries in LIBRARIES[name]:
        done = subprocess.run(
            [*compiler, *FLAGS, "-o", str(unfinished), str(source), *libraries],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            unfinished.replace(target)
            return target
        complaint = done.stderr.strip()
    if name == "c_echo_uring":
        complaint += "\nit needs liburing 2.3 or later (apt-get install liburing-dev)"
    raise BuildError(f"cannot compile {source.name}:\n{complaint}")

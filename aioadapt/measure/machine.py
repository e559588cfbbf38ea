"""The facts about this machine to report with a figure; nothing that identifies it."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import aioadapt


def facts() -> dict[str, Any]:
    """CPU, kernel, Python and versions; no host name and no path."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "python_minor": ".".join(platform.python_version_tuple()[:2]),
        "aioadapt": _version(),
        "commit": _commit(),
        "io_uring": aioadapt.uring_support().available,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("aioadapt")
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """The commit of the checkout that holds this file; empty if there is none."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=10", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()

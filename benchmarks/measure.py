"""What a process has used: CPU time, time spent waiting for a core, page faults.

CPU time comes from the scheduler (``aioadapt/measure/usage.py``), in nanoseconds
and for every thread, io_uring's kernel workers included.  The clock-tick counters
in ``/proc/PID/stat`` are a million times coarser.  Read it while the process
sleeps: for a running thread the figure is as old as the last scheduler tick.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aioadapt.measure import usage as of_scheduler


class MeasureError(Exception):
    """This machine cannot provide a figure that the benchmark needs."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since it started, or between two points in time."""

    cpu_ns: int
    #: Ready to run, but another process had its core.
    waited_ns: int
    #: Minor page faults.
    faults: int

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.cpu_ns - earlier.cpu_ns,
            self.waited_ns - earlier.waited_ns,
            self.faults - earlier.faults,
        )


def usage(pid: int) -> Usage:
    try:
        used = of_scheduler.usage(pid)
    except of_scheduler.ExperimentError as error:
        raise MeasureError(str(error)) from None
    # The second field, the command, is in parentheses and may contain anything.
    after_command = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(used.cpu_ns, used.waited_ns, faults=int(after_command[7]))


def check_cores(*cores: int) -> None:
    allowed = os.sched_getaffinity(0)
    if len(set(cores)) < len(cores):
        raise MeasureError(
            "server and client need a core each, or they would slow each other down"
        )
    if missing := sorted(set(cores) - allowed):
        raise MeasureError(
            f"core {missing[0]} is not one of this process's cores: {sorted(allowed)}"
        )

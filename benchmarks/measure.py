"""What a process used, and on which core it runs.

CPU comes from the scheduler (aioadapt/measure/usage.py), in nanoseconds
and for every thread, io_uring's kernel workers included.  The clock-tick
counters in ``/proc/PID/stat`` are a million times coarser.  Read it while the
process sleeps: for a running thread the figure is as old as its last scheduler
tick.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aioadapt.measure import usage as of_scheduler


class MeasureError(Exception):
    """This machine cannot give a figure that the benchmark needs."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since it began, or between two moments."""

    cpu_ns: int
    #: Ready to run and not running: somebody else had its core.
    waited_ns: int
    #: Page faults that needed no disk.
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
    # The command, second field, is in parentheses and may hold anything.
    after_command = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(used.cpu_ns, used.waited_ns, faults=int(after_command[7]))


@contextlib.contextmanager
def pinned_to(core: int) -> Iterator[None]:
    """Whatever the calling thread starts in this block runs on one core only.

    A child inherits it before its first instruction and passes it on to every
    thread that it starts; setting it from outside would race with both.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def check_cores(*cores: int) -> None:
    allowed = os.sched_getaffinity(0)
    if len(set(cores)) < len(cores):
        raise MeasureError(
            "server and client need a core each: one would stand in for the other"
        )
    if missing := sorted(set(cores) - allowed):
        raise MeasureError(
            f"core {missing[0]} is not among this process's cores {sorted(allowed)}"
        )


def allow_descriptors(count: int) -> None:
    """Raise the limit that children inherit, as far as that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if wanted < count:
        raise MeasureError(
            f"{count} descriptors are needed, and the hard limit is {hard}"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

"""How much CPU a process has used, read while it sleeps.

CPU time comes from the scheduler (``/proc/PID/task/*/schedstat``), in nanoseconds
and for every thread, io_uring's kernel workers included.  For a running thread
the figure is as old as the last scheduler tick, so it is read while all sleep.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aioadapt import AioadaptError

#: Waiting longer for a server to sleep would only prolong the run; a guess.
RESTS_WITHIN_S = 0.5
LOOK_EVERY_S = 0.001


class ExperimentError(AioadaptError):
    """The machine cannot provide a figure, or a process did not do what it should."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of all threads: time on a core, and time ready to run but waiting for one."""

    cpu_ns: int
    waited_ns: int

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(self.cpu_ns - earlier.cpu_ns, self.waited_ns - earlier.waited_ns)


def usage(pid: int) -> Usage:
    cpu_ns = waited_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            fields = (task / "schedstat").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            if task.exists():
                raise ExperimentError(
                    f"{task}/schedstat does not exist: this kernel is built without "
                    "CONFIG_SCHED_INFO, and nothing else counts CPU finely enough"
                ) from None
            continue  # The thread has ended in the meantime.
        cpu_ns += int(fields[0])
        waited_ns += int(fields[1])
    return Usage(cpu_ns, waited_ns)


def asleep(pid: int) -> bool:
    """Is no thread of it running or waiting for a core?"""
    states = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            states.append((task / "stat").read_text().rpartition(")")[2].split()[0])
    return "R" not in states


def usage_at_rest(pid: int) -> Usage:
    """Read once it sleeps; or anyway, if it keeps working without any requests."""
    deadline = time.monotonic() + RESTS_WITHIN_S
    while not asleep(pid) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    return usage(pid)


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where: the server must not share a core with the load client."""

    server: frozenset[int]
    client: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """The last core for the load client, the others for the server."""
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise ExperimentError(
                "this process may use one core only: server and load client need one "
                "each, or they would slow each other down (likely cause: taskset, or "
                "a container's CPU set)"
            )
        return cls(frozenset(allowed[:-1]), frozenset(allowed[-1:]))


def main_thread_ns(pid: int) -> int:
    """CPU time of its main thread alone."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])

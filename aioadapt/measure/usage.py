"""What a process has used, and when it rests.

CPU comes from the scheduler (``/proc/PID/task/*/schedstat``), in nanoseconds
and for every thread, io_uring's kernel workers included.  For a running
thread the figure is as old as its last scheduler tick, so it is read at rest.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aioadapt import AioadaptError

#: Waiting longer for a server to rest would only stretch the run; a guess.
RESTS_WITHIN_S = 0.5
LOOK_EVERY_S = 0.001


class ExperimentError(AioadaptError):
    """The machine cannot give a figure, or a process did not do what it should."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of all threads: on a core, and ready to run while somebody else had it."""

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
                    f"{task}/schedstat is not there: this kernel is built without "
                    "CONFIG_SCHED_INFO, and nothing else counts CPU finely enough"
                ) from None
            continue  # The thread has ended in between.
        cpu_ns += int(fields[0])
        waited_ns += int(fields[1])
    return Usage(cpu_ns, waited_ns)


def asleep(pid: int) -> bool:
    """No thread of it runs or waits for a core."""
    states = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            states.append((task / "stat").read_text().rpartition(")")[2].split()[0])
    return "R" not in states


def usage_at_rest(pid: int) -> Usage:
    """Once it sleeps; or as it is, where it goes on working without being asked."""
    deadline = time.monotonic() + RESTS_WITHIN_S
    while not asleep(pid) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    return usage(pid)


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where: what is measured must not share a core with the load."""

    server: frozenset[int]
    client: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """The last core for the load client, the others for the server."""
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise ExperimentError(
                "this process may use one core only: server and load client need one "
                "each, since one would stand in for the other (likely cause: taskset, "
                "or a container's CPU set)"
            )
        return cls(frozenset(allowed[:-1]), frozenset(allowed[-1:]))


def main_thread_ns(pid: int) -> int:
    """CPU of its first thread alone."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])

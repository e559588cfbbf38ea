"""Runs programs to their end over asyncio and over our loops, several at a time."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from loops import in_words
from programs import Ended, started

IN_PARALLEL = 4
"""Programs; each mostly waits for interpreters to start."""

BEGINNING = """
import asyncio, os, signal, socket, sys, threading
from {module} import {name} as Loop
LOOP = "{module}:{name}"
KIND = "{kind}"
OURS = "{module}" == "aioadapt"

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")   # whole, from any thread
    sys.stdout.flush()

def run(main):
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)

def kill_me(number):
    os.kill(os.getpid(), number)
"""


@dataclass(frozen=True)
class Program:
    """*then* lists the signals to send, each after a line of its output.

    If the line ends with "asleep", the signal is sent once the main thread sleeps
    in the kernel.
    """

    source: str
    then: tuple[tuple[str, signal.Signals], ...] = ()
    options: tuple[str, ...] = ()


def run_program(program: Program, kind: str) -> Ended:
    module, _, name = in_words(kind).partition(":")
    source = BEGINNING.format(module=module, name=name, kind=kind) + program.source
    command = [sys.executable, *program.options, "-c", source]
    environ = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    with started(*command, environ=environ) as running:
        for line, number in program.then:
            running.wait_for(f"^{line}$")
            if line.endswith("asleep"):
                wait_until_asleep(running.process)
            running.process.send_signal(number)
        status = running.ended()
    return Ended(status, normal(running.out), normal(running.err))


def wait_until_asleep(process: "subprocess.Popen[str]") -> None:
    while process.poll() is None:
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
            if file.read().rpartition(")")[2].split()[0] == "S":
                return
        os.sched_yield()


_FRAMES = re.compile(
    r"^(?P<mark>[ +|]*)Traceback \(most recent call last\):\n(?:(?P=mark)\s+.*\n)*",
    re.MULTILINE,
)
_NORMAL = [
    (re.compile(pattern, re.MULTILINE), by)
    for pattern, by in [
        (r"\b((Epoll|Uring|Adaptive)EventLoop|_UnixSelectorEventLoop)\b", "Loop"),
        (r"\b(StreamTransport|_SelectorSocketTransport)\b", "SocketTransport"),
        (r"0x[0-9a-f]+", "0x"),
        (r"\b(fd=|pid=|pid |Task-)-?\d+", r"\1N"),
        (r"\[\d+\]", "[N]"),
        (r"\b127\.0\.0\.1(:|', )\d+", r"127.0.0.1\1N"),
        # What it waits for, and where, differs between the loops.
        (r"^task: <Task pending name='(\w+)' .*$", r"task: \1"),
        # The place of a warning, inside each loop, and what -X dev adds.
        (r"^.*:\d+: (?=\w*Warning)", ""),
        (r"^  .*\n", ""),
        (r"^Object allocated at.*\n", ""),
        (r"\(most recent call last\)", ""),
        # In 3.13 asyncio's loop fails to warn at interpreter exit, and leaks its
        # socket pair, which our loops do not have.
        (
            r"^Exception ignored in: <function BaseEventLoop\.__del__ at 0x>\n"
            r"Traceback\nImportError: sys\.meta_path is None.*\n"
            r"(?:ResourceWarning: unclosed <socket\.socket fd=N, family=1,.*\n)*",
            "",
        ),
    ]
]


def normal(text: str) -> str:
    text = _FRAMES.sub("Traceback\n", text)
    for pattern, by in _NORMAL:
        text = pattern.sub(by, text)
    return _DESTROYED.sub(_sorted_by_task, text)


# In which order tasks are freed depends on their addresses.
_DESTROYED = re.compile(r"(?:Task was destroyed but it is pending!\ntask: .*\n)+")


def _sorted_by_task(destroyed: "re.Match[str]") -> str:
    return "".join(sorted(re.findall(r".*\ntask: .*\n", destroyed[0])))


class Ends:
    """Starts all programs together, and waits for their results one by one."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(IN_PARALLEL)
        self._ends: dict[Any, Future[Ended]] = {}

    def begin(self, program: Program, kind: str) -> None:
        if (program, kind) not in self._ends:
            self._ends[program, kind] = self._pool.submit(run_program, program, kind)

    def of(self, program: Program, kind: str) -> Ended:
        self.begin(program, kind)
        return self._ends[program, kind].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

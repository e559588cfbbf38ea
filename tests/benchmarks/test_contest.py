"""A missing competitor is listed, and one with errors gets no figures."""

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from loops import or_skip

from benchmarks import contest, swaps
from benchmarks.measure import usage
from benchmarks.report import figure
from benchmarks.servers import Scenario

CORES = sorted(os.sched_getaffinity(0))

needs_a_machine = pytest.mark.skipif(
    shutil.which("cc") is None or len(CORES) < 2,
    reason="a contest needs a C compiler and a core each for server and client",
)


def scenario() -> Scenario:
    return Scenario(
        kind="echo",
        mode="protocol",
        connections=2,
        request_bytes=64,
        seconds=0.05,
        server_core=CORES[0],
        client_core=CORES[1],
    )


def hold(*names: str) -> contest.Outcome:
    return contest.hold(scenario(), names, rounds=1, retakes=0, reference="c-epoll")


@needs_a_machine
def test_servers_are_measured_beside_each_other() -> None:
    outcome = hold("c-epoll", "asyncio")

    assert list(outcome.rounds) == ["c-epoll", "asyncio"]
    assert outcome.failed == outcome.absent == {}
    assert outcome.cpu("c-epoll").ratio == 1.0
    assert outcome.cpu("asyncio").median > 0


@needs_a_machine
def test_datagrams_are_measured_too() -> None:
    datagrams = dataclasses.replace(scenario(), kind="datagrams")
    outcome = contest.hold(
        datagrams, ["c-epoll", "epoll"], rounds=1, retakes=0, reference="c-epoll"
    )

    assert list(outcome.rounds) == ["c-epoll", "epoll"]
    assert outcome.cpu("epoll").median > 0


@needs_a_machine
def test_changes_of_engine_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    or_skip("uring")
    monkeypatch.setattr(swaps, "BEFORE_S", 0.1)
    monkeypatch.setattr(swaps, "AFTER_S", 0.5)
    cores = os.sched_getaffinity(0)
    try:
        there, back = swaps.hold(
            [20], saturated=False, rounds=1, server_core=CORES[0], client_core=CORES[1]
        )
    finally:
        os.sched_setaffinity(0, cores)

    assert (there["to"], back["to"]) == ("uring", "epoll")
    assert there["failed"] == back["failed"] == 0
    assert there["pause_p99_s"] != 0.0


@needs_a_machine
def test_a_peer_that_is_not_installed_is_listed_and_skipped() -> None:
    outcome = hold("c-epoll", "no_such_package:new_event_loop")

    assert list(outcome.rounds) == ["c-epoll"]
    assert "no_such_package:new_event_loop: skipped, not installed" in contest.text(
        outcome
    )


@needs_a_machine
def test_a_loop_that_does_not_start_is_a_failure_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "refusing.py").write_text(
        "def new_event_loop():\n    raise RuntimeError('not on this kernel')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    outcome = hold("c-epoll", "refusing:new_event_loop")

    assert "not on this kernel" in outcome.failed["refusing:new_event_loop"]
    assert list(outcome.rounds) == ["c-epoll"]


def test_a_ratio_is_taken_between_neighbouring_rounds() -> None:
    """The machine is half as fast in the second round, but the ratio is the same."""
    assert figure([1.0, 2.0, 1.0], [2.0, 4.0, 2.0]).ratio == 0.5


def test_without_a_reference_there_is_no_ratio() -> None:
    assert figure([1.0], []).ratio is None


def test_usage_counts_the_cpu_of_threads_that_sleep_again() -> None:
    """The child's second thread uses 50 ms of CPU, then sleeps."""
    ours, theirs = socket.socketpair()
    burn = (
        "import socket, sys, threading, time\n"
        "def work():\n"
        "    while time.thread_time() < 0.05: pass\n"
        "    done.send(b'x'); done.recv(1)\n"
        "done = socket.socket(fileno=int(sys.argv[1]))\n"
        "threading.Thread(target=work).start()\n"
    )
    with ours, theirs:
        child = subprocess.Popen(
            [sys.executable, "-c", burn, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        with child:
            ours.recv(1)
            used = usage(child.pid)
            ours.close()

    assert used.cpu_ns > 50_000_000

"""The processes of a measurement: commands, CPU usage, exit."""

import os
import sys
import time
from pathlib import Path

import pytest

from aioadapt.measure.processes import Child, LoadClient
from aioadapt.measure.usage import (
    Cores,
    ExperimentError,
    asleep,
    usage,
    usage_at_rest,
)

from .load_server import LoadServer

EVERY_CORE = os.sched_getaffinity(0)


def test_the_load_client_runs_in_a_process_of_its_own() -> None:
    with (
        LoadServer() as server,
        LoadClient(server.port, EVERY_CORE, most=8) as client,
    ):
        first = client.run(connections=8, seconds=0.1, spin=False)
        client.begin(connections=4, seconds=0.1, spin=False)
        second = client.result()

    assert first["requests"] == first["asked"] > 0
    assert (first["opened"], second["opened"], second["closed"]) == (8, 0, 4)


def test_a_wrong_order_ends_it_with_its_reason() -> None:
    with (
        LoadServer() as server,
        LoadClient(server.port, EVERY_CORE, most=1) as client,
        pytest.raises(ExperimentError, match=r"load.*made for 1"),
    ):
        client.run(connections=2, seconds=0.1)


def test_a_process_that_cannot_start_is_an_error_with_its_reason() -> None:
    with (
        Child(["aioadapt.measure.no_such_module"], EVERY_CORE) as child,
        pytest.raises(ExperimentError, match="no_such_module"),
    ):
        child.hear(20.0)


def test_a_child_has_the_cores_it_was_given() -> None:
    core = max(EVERY_CORE)
    with LoadServer() as server, LoadClient(server.port, {core}, most=1) as client:
        client.run(connections=1, seconds=0.01, spin=False)
        assert os.sched_getaffinity(client.pid) == {core}
    assert os.sched_getaffinity(0) == EVERY_CORE


def test_cpu_is_counted_while_it_works_and_not_while_it_sleeps() -> None:
    with (
        LoadServer() as server,
        LoadClient(server.port, EVERY_CORE, most=1) as client,
    ):
        client.run(connections=1, seconds=0.01, spin=False)
        before = usage_at_rest(client.pid)
        # Repeated if other processes have the core most of the time.
        tries = 0
        while (usage_at_rest(client.pid) - before).cpu_ns < 0.02e9:
            client.run(connections=1, seconds=0.1, spin=True)
            assert (tries := tries + 1) < 100, (
                "of ten seconds of work nothing is counted"
            )
        assert asleep(client.pid)
        rested = usage_at_rest(client.pid) - usage(client.pid)

    assert rested.cpu_ns == 0


def test_one_core_is_not_enough_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})

    with pytest.raises(ExperimentError, match="one core only"):
        Cores.of_this_machine()


def test_the_load_client_has_a_core_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 6})

    cores = Cores.of_this_machine()

    assert cores.server == frozenset({1, 4})
    assert cores.client == frozenset({6})


def test_a_machine_is_described_without_its_name() -> None:
    from aioadapt.measure.machine import facts

    described = repr(facts())

    assert sys.version.split()[0] in described
    assert os.uname().nodename not in described
    assert str(Path(__file__).parent.parent.parent) not in described
    assert time.strftime("%Y-%m-%d") not in described

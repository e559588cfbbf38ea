"""The commands that observe a server, as users run them; all are real processes."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from programs import WITHIN_S, Program, printed_by_python
from prometheus_client.parser import text_string_to_metric_families
from serving.command import serving

from aioadapt import Thresholds, uring_support
from aioadapt.control import calibration
from aioadapt.serving.admin_client import AdminClient, choose

pytestmark = pytest.mark.usefixtures("runtime_folder")


@contextmanager
def served(*options: str) -> Iterator[tuple[Program, AdminClient]]:
    """A server, and its admin address, which is the only one."""
    # Idle connections must outlast a command's start on a busy machine.
    with serving("good:app", "--keep-alive-s", "600", *options) as program:
        yield program, choose(None)


def told(*arguments: str) -> str:
    return printed_by_python("-m", "aioadapt", *arguments)


def test_a_served_application_is_seen_by_top_why_and_prometheus() -> None:
    with served() as (program, admin), program.connect() as client:
        assert admin.state()["addresses"] == [f"http://127.0.0.1:{program.port}"]
        pid = program.process.pid
        for _ in range(5):
            assert client.get() == str(pid)

        picture = told("top", "--once", str(pid))
        assert "good:app" in picture
        assert f"pid {pid}" in picture
        row = next(line for line in picture.splitlines() if "*" in line)
        assert row.split()[:3] == ["epoll", "*", "1"]

        why: dict[str, Any] = json.loads(told("why", "--json"))
        assert why["pid"] == pid
        assert why["decisions"][-1]["verdict"] == "stay"
        assert why["decisions"][-1]["active"] == "epoll"
        assert "stay on epoll: " in told("why")

        text = admin.get("/metrics").decode()
        counted = {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.labels.get("engine") == "epoll"
        }
        assert counted["aioadapt_requests_total"] == 5
        assert counted["aioadapt_connections"] == 1

        assert program.end() == 0
        assert not admin.path.exists()


@pytest.mark.skipif(not uring_support().available, reason="no io_uring here")
def test_a_switch_of_a_served_application_is_told_with_what_it_moved(
    tmp_path: Path,
) -> None:
    """A burst of three connections is enough for these thresholds."""
    thresholds = Thresholds(
        tick_s=0.05, up_connections=3, down_connections=1, snap_connections=3,
        sustain_ticks=1, quiet_events_per_s=0.0,
    )  # fmt: skip
    path = tmp_path / "thresholds.json"
    calibration.save(thresholds, path)
    with (
        served("--thresholds", str(path)) as (program, admin),
        ExitStack() as clients_end,
    ):
        clients = [clients_end.enter_context(program.connect()) for _ in range(3)]
        answers = [client.get() for client in clients]

        deadline = time.monotonic() + WITHIN_S
        while not any(s["moved"] == 3 for s in admin.state()["switches"]):
            assert time.monotonic() < deadline, admin.state()["switches"]
            time.sleep(0.02)

        text = told("why", str(admin.path))
        assert "switch from epoll to uring: " in text
        assert "3 of 3 connections moved" in text
        picture = told("top", "--once")
        assert "epoll>uring 3; pauses p50 " in picture
        rows = {line.split()[0]: line.split() for line in picture.splitlines() if line}
        assert rows["uring"][1:3] == ["*", "3"]
        assert rows["epoll"][1] == "0"
        assert [client.get() for client in clients] == answers

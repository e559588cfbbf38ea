"""A server as people start it, looked at as people look at it; all real processes."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aioadapt import Thresholds, uring_support
from aioadapt.control import calibration
from aioadapt.serving.admin_client import AdminClient, choose
from aioadapt.serving.admin_socket import AdminError

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
"""


pytestmark = pytest.mark.usefixtures("runtime_folder")


@contextmanager
def served(folder: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """``aioadapt serve`` in a process of its own, until the test is over."""
    (folder / "shop.py").write_text(APP)
    # Idle connections must outlast a command's start on a machine that is busy.
    arguments = ["serve", "shop:app", "--app-dir", str(folder), "--port", "0"]
    arguments += ["--keep-alive-s", "600", *options]
    with (
        (folder / "output").open("w+") as output,
        subprocess.Popen(
            [sys.executable, "-m", "aioadapt", *arguments],
            stdout=output,
            stderr=output,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def running(process: "subprocess.Popen[str]", folder: Path) -> AdminClient:
    """The admin address of the only server, once it is there."""
    deadline = time.monotonic() + 20
    while True:
        try:
            client = choose(None)
            client.state()
        except AdminError:
            output = (folder / "output").read_text()
            assert process.poll() is None, output
            assert time.monotonic() < deadline, output
            time.sleep(0.02)
        else:
            return client


@contextmanager
def connected(client: AdminClient) -> Iterator[http.client.HTTPConnection]:
    """A keep-alive client of the server that *client* looks at."""
    address = urlsplit(client.state()["addresses"][0])
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    with closing(connection):
        yield connection


def ask(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"ok"


def told(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "aioadapt", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_served_application_is_seen_by_top_why_and_prometheus(
    tmp_path: Path,
) -> None:
    with served(tmp_path) as process:
        client = running(process, tmp_path)
        with connected(client) as connection:
            for _ in range(5):
                ask(connection)

            picture = told("top", "--once", str(process.pid))
            assert "shop:app" in picture
            assert f"pid {process.pid}" in picture
            row = next(line for line in picture.splitlines() if "*" in line)
            assert row.split()[:3] == ["epoll", "*", "1"]

            why: dict[str, Any] = json.loads(told("why", "--json"))
            assert why["pid"] == process.pid
            assert why["decisions"][-1]["verdict"] == "stay"
            assert why["decisions"][-1]["active"] == "epoll"
            assert "stay on epoll: " in told("why")

            text = client.get("/metrics").decode()
            counted = {
                sample.name: sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.labels.get("engine") == "epoll"
            }
            assert counted["aioadapt_requests_total"] == 5
            assert counted["aioadapt_connections"] == 1

        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not client.path.exists()


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
    with served(tmp_path, "--thresholds", str(path)) as process, ExitStack() as open_:
        client = running(process, tmp_path)
        connections = [open_.enter_context(connected(client)) for _ in range(3)]
        for connection in connections:
            ask(connection)

        deadline = time.monotonic() + 20
        while not any(s["moved"] == 3 for s in client.state()["switches"]):
            assert time.monotonic() < deadline, client.state()["switches"]
            time.sleep(0.02)

        text = told("why", str(client.path))
        assert "switch from epoll to uring: " in text
        assert "3 of 3 connections moved" in text
        picture = told("top", "--once")
        assert "epoll>uring 3; pauses p50 " in picture
        rows = {line.split()[0]: line.split() for line in picture.splitlines() if line}
        assert rows["uring"][1:3] == ["*", "3"]
        assert rows["epoll"][1] == "0"
        for connection in connections:
            ask(connection)

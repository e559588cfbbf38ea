"""``aioadapt serve`` as users run it: what it prints, and how it ends."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from programs import WITHIN_S, Program
from serving.command import INSTALLED, MODULE, serving

from aioadapt import Thresholds
from aioadapt.control import calibration
from aioadapt.serving.admin_client import AdminClient


def test_it_says_what_it_does_and_why() -> None:
    with serving("good:app") as served:
        assert served.get() == str(served.process.pid)
        adapting = served.wait_for("dapting")
        assert served.end() == 0
    assert f"Listening on http://127.0.0.1:{served.port}" in served.err
    assert "Starting on epoll: " in served.err
    assert "live connections move" in adapting.string
    assert "Traceback" not in served.err
    assert '"GET / HTTP/1.1" 200' in served.out, "the access log"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--start", "uring"], "Starting on uring"),
        (["--start", "epoll"], "Not adapting"),
        (["--no-adapt"], "Not adapting"),
        (["--no-migrate"], "live connections do not move"),
        (["--hint", "high-concurrency"], "Starting on uring: workload hint"),
        (["--factory"], "Starting on epoll"),
    ],
)
def test_options_show_in_what_it_says(options: list[str], said: str) -> None:
    app = "good:make_app" if "--factory" in options else "good:app"
    with serving(app, "--no-access-log", *options) as served:
        served.wait_for(said)
        assert served.get() == str(served.process.pid)
        assert served.end() == 0
    assert said in served.err
    assert "GET" not in served.out


def test_the_engine_follows_the_load_and_live_connections_follow_it(
    tmp_path: Path,
) -> None:
    admin, thresholds = tmp_path / "admin", tmp_path / "thresholds.json"
    calibration.save(
        Thresholds(
            up_connections=4,
            down_connections=2,
            snap_connections=4,
            sustain_ticks=1,
            cooldown_s=0.0,
            quiet_events_per_s=0.0,
        ),
        thresholds,
    )
    options = "--admin", str(admin), "--thresholds", str(thresholds)
    with serving("good:app", "--no-access-log", *options) as served:
        served.wait_for("dapting")
        look = AdminClient(admin)
        assert look.state()["active"] == "epoll"
        with ExitStack() as clients_end:
            clients = [clients_end.enter_context(served.connect()) for _ in range(8)]
            deadline_s = time.monotonic() + WITHIN_S
            while True:
                for client in clients:
                    assert client.get() == str(served.process.pid)
                state = look.state()
                # A switch is counted when its first round of moves is over,
                # shortly after the last move.
                followed = state["migrator"]["moves"].get("epoll>uring") == 8
                if followed and state["switched"]:
                    break
                assert time.monotonic() < deadline_s, state
        assert state["active"] == "uring"
        assert state["app"] == "good:app"
        assert state["addresses"] == [f"http://127.0.0.1:{served.port}"]
        assert state["switched"] == {"epoll>uring": 1}
        assert served.end() == 0
    assert not admin.exists()


@pytest.mark.parametrize("times", [1, 2], ids=["finishing", "at once"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unix_socket_is_removed_however_it_ends(
    tmp_path: Path, workers: str, times: int
) -> None:
    path = tmp_path / "s"
    options = "--graceful-s", "600", "--workers", workers
    with (
        serving("good:app", "--uds", str(path), *options) as served,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(str(path))
        busy = b"/for-ever" if times == 2 else b"/"
        client.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % busy)
        assert client.recv(12) == b"HTTP/1.1 200"
        for _ in range(times - 1):
            served.process.send_signal(signal.SIGTERM)
            served.wait_for("shutting down")
        assert served.end() == (0 if times == 1 else -signal.SIGTERM)
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_request_in_flight_and_exits_with_0(
    number: signal.Signals,
) -> None:
    with serving("good:app") as served:
        connection = served.connect()
        connection.putrequest("POST", "/slow")
        connection.putheader("Content-Length", "1")
        connection.endheaders()
        # The response head shows that the request is in progress.
        response = connection.getresponse()
        served.process.send_signal(number)
        served.wait_for("shutting down")
        assert connection.sock is not None
        connection.sock.sendall(b"x")
        assert response.read().decode() == str(served.process.pid)
        connection.close()
        assert served.ended() == 0
    assert served.out.count("lifespan.shutdown") == 1


def test_a_signal_closes_idle_connections_and_refuses_new_ones() -> None:
    with serving("good:app", "--keep-alive-s", "600") as served:
        connection = served.connect()
        connection.get()
        assert served.end() == 0
        assert connection.sock is not None
        assert connection.sock.recv(1) == b""
        connection.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", served.port), timeout=5)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_new_connections_are_refused_while_requests_finish(workers: str) -> None:
    """If the socket still listened and nobody accepted, they would wait."""
    with (
        serving("good:app", "--graceful-s", "600", "--workers", workers) as served,
        a_request_without_end(served),
    ):
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("shutting down")
        assert is_refused(("127.0.0.1", served.port))
        assert served.process.poll() is None
        assert served.end() == -signal.SIGTERM


@contextmanager
def a_request_without_end(served: Program) -> Iterator[http.client.HTTPResponse]:
    """A request in progress; yields its unfinished response."""
    with served.connect() as client:
        client.request("GET", "/for-ever")
        response = client.getresponse()
        assert response.read(1) == b"x"
        yield response


def is_refused(address: tuple[str, int]) -> bool:
    deadline_s = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(address, timeout=5).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.01)
    return False


def test_what_is_unfinished_after_its_time_is_cancelled() -> None:
    with (
        serving("good:app", "--graceful-s", "0.3") as served,
        a_request_without_end(served) as response,
    ):
        assert served.end() == 0
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    assert "lifespan.shutdown" in served.out


def test_a_second_signal_ends_at_once() -> None:
    with (
        serving("good:app", "--graceful-s", "600") as served,
        a_request_without_end(served),
    ):
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("shutting down")
        assert served.end() == -signal.SIGTERM


def worker_pids(served_pid: int) -> set[int]:
    with open(f"/proc/{served_pid}/task/{served_pid}/children") as children:
        return {int(pid) for pid in children.read().split()}


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def who_answer(served: Program, wanted: int) -> set[str]:
    """The pids of *wanted* workers; each is stopped while the others answer.

    A new connection goes to the worker that wakes up first, and on a busy or
    single-core machine that may be the same one for a long time.
    """
    found: set[str] = set()
    try:
        while len(found) < wanted:
            pid = served.get()
            assert pid not in found
            found.add(pid)
            hold_up(int(pid))
    finally:
        for pid in found:
            os.kill(int(pid), signal.SIGCONT)
    return found


def hold_up(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    deadline_s = time.monotonic() + WITHIN_S
    while set(states_of(pid)) != {"T"}:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def states_of(pid: int) -> Iterator[str]:
    """The state of each of its threads; "T" is stopped."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield (task / "stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("command", [INSTALLED, MODULE], ids=["aioadapt", "python -m"])
def test_workers_all_answer_and_all_end(command: tuple[str, ...]) -> None:
    """A worker imports the parent's main module again."""
    options = "--workers", "2", "--no-access-log"
    with serving("good:app", *options, command=command) as served:
        served.wait_for("Starting on")
        answered = who_answer(served, 2)
        assert len(answered) == 2
        assert str(served.process.pid) not in answered
        assert {int(pid) for pid in answered} <= worker_pids(served.process.pid)
        assert served.end() == 0
    assert served.out.count("lifespan.shutdown") == 2
    assert not any(alive(int(pid)) for pid in answered)


def test_a_worker_that_dies_is_replaced() -> None:
    with serving("good:app", "--workers", "2", "--no-access-log") as served:
        served.wait_for("Starting on")
        killed = who_answer(served, 2).pop()
        os.kill(int(killed), signal.SIGKILL)
        served.wait_for(rf"Worker process \[{killed}\] died")
        served.wait_for("Starting on")
        answered = who_answer(served, 2)
        assert len(answered) == 2
        assert killed not in answered
        assert served.end() == 0


def test_a_worker_that_is_killed_before_it_has_said_that_it_serves_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may already have answered requests."""
    monkeypatch.setenv("KILLED_IN", str(tmp_path))
    monkeypatch.setenv("KILLED", "2")
    with serving("killed:app", "--workers", "2", "--no-access-log") as served:
        answered = who_answer(served, 2)
        assert {int(pid) for pid in answered} <= worker_pids(served.process.pid)
        assert served.end() == 0
    assert served.err.count("died: exit code -9") == 2


def test_a_server_can_be_restarted_on_a_port_whose_connections_it_has_closed() -> None:
    """They are in TIME_WAIT on the side that closed first."""
    with serving("good:app") as served:
        connection = served.connect()
        connection.request("GET", "/", headers={"Connection": "close"})
        connection.getresponse().read()
        port = served.port
        assert served.end() == 0
        connection.close()
    with serving("good:app", port=port) as served:
        assert served.port == port
        assert served.get()
        assert served.end() == 0


def test_workers_finish_when_their_parent_is_killed() -> None:
    with serving("good:app", "--workers", "2", "--no-access-log") as served:
        served.wait_for("Starting on")
        answered = who_answer(served, 2)
        served.process.kill()
        # It ends when the last worker has closed its end of the pipe.
        assert served.ended() == -signal.SIGKILL
    assert served.err.count("shutting down worker") == 2
    assert len(answered) == 2


def test_a_second_signal_ends_workers_too() -> None:
    with serving("good:app", "--workers", "2", "--graceful-s", "600") as served:
        served.wait_for("Starting on")
        with a_request_without_end(served):
            answered = who_answer(served, 2)
            served.process.send_signal(signal.SIGTERM)
            served.wait_for("shutting down the workers")
            assert served.end() == -signal.SIGTERM
    assert not any(alive(int(pid)) for pid in answered)


def test_a_signal_is_handled_while_workers_finish_because_another_could_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDER", str(tmp_path))
    options = "--workers", "2", "--graceful-s", "600"
    with serving("one_fails:app", *options) as served, a_request_without_end(served):
        (tmp_path / "busy").touch()
        served.wait_for("Received SIGTERM, shutting down;")
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("shutting down the workers")
        assert served.end() == -signal.SIGTERM


def bind(port: int) -> None:
    """Listen there, as any server does it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen()


@pytest.mark.parametrize(
    ("workers", "signals"),
    [
        ("1", "SIGKILL"),
        ("1", "SIGTERM"),
        ("1", "two SIGTERMs"),
        # A parent that is killed leaves workers that finish their requests.
        ("2", "SIGTERM"),
        ("2", "two SIGTERMs"),
    ],
)
@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_the_port_is_free_when_the_server_has_ended(
    engine: str, workers: str, signals: str
) -> None:
    """Nothing of it may listen after its end, as a request on a ring would."""
    options = "--start", engine, "--workers", workers, "--graceful-s", "600"
    with (
        serving("good:app", "--no-access-log", *options) as served,
        ExitStack() as stack,
    ):
        port = served.port
        clients = [stack.enter_context(served.connect()) for _ in range(8)]
        for client in clients:
            client.get()
        if signals == "two SIGTERMs":
            stack.enter_context(a_request_without_end(served))
            served.process.send_signal(signal.SIGTERM)
            served.wait_for("shutting down;? ")
        number = signal.SIGKILL if signals == "SIGKILL" else signal.SIGTERM
        served.process.send_signal(number)
        # Not ended(): that waits for the output's end as well.
        served.process.wait(WITHIN_S)
        bind(port)
        status = 0 if signals == "SIGTERM" else -number
        assert served.ended() == status


@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_the_port_is_free_when_a_killed_worker_was_the_last_to_listen(
    engine: str,
) -> None:
    options = "--start", engine, "--workers", "2", "--graceful-s", "600"
    with serving("good:app", "--no-access-log", *options) as served:
        served.wait_for("Starting on")
        port = served.port
        with a_request_without_end(served):
            served.process.send_signal(signal.SIGTERM)
            served.wait_for("shutting down the workers")
            for pid in worker_pids(served.process.pid):
                os.kill(pid, signal.SIGKILL)
            served.process.wait(WITHIN_S)
            bind(port)
        assert served.ended() == 0


def test_a_worker_whose_child_lives_on_is_replaced_and_keeps_no_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that was started without closing descriptors has all it may inherit."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    monkeypatch.setenv("FIFO", str(fifo))
    with (
        open(fifo, "r+b", buffering=0) as children_end,
        serving("has_child:app", "--workers", "2", "--no-access-log") as served,
    ):
        served.wait_for("Starting on")
        killed = who_answer(served, 2).pop()
        os.kill(int(killed), signal.SIGKILL)
        served.wait_for(rf"Worker process \[{killed}\] died")
        served.wait_for("Starting on")
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(WITHIN_S) == 0
        bind(served.port)
        children_end.close()

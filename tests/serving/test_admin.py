"""A real Admin over real sockets: its answers, who may connect, how it ends."""

import asyncio
import json
import logging
import os
import socket
import stat
from pathlib import Path

import pytest
from http_client import Client
from seen import RunningAdmin, Seen, decision, running_admin, switch

from aioadapt.serving import admin_socket
from aioadapt.serving.admin import Admin
from aioadapt.serving.admin_client import AdminClient, choose
from aioadapt.serving.admin_socket import AdminError

pytestmark = pytest.mark.usefixtures("runtime_folder")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_state_is_json_with_times_that_people_have(
    seen: Seen, admin: RunningAdmin
) -> None:
    seen.set["switches"] = [switch(at_s=99.5)]

    state = admin.client.state()

    assert state["format"] == 1
    assert state["app"] == "shop:app"
    assert state["start"] == {
        "engine": "epoll",
        "pinned": False,
        "reason": "no workload hint",
    }
    assert state["engines"][0]["engine"] == "epoll"
    assert state["engines"][0]["stats"]["iterations"] > 0
    (decided,) = state["decisions"]
    assert decided["verdict"] == "stay"
    assert decided["at"] == seen.now - 1
    assert decided["sample"]["connections"] == 3
    (switched,) = state["switches"]
    assert switched["at"] == seen.now - 0.5
    assert switched["decision"] == "switch"
    assert switched["pauses_s"] == {"p50": 0.0001, "p99": 0.002, "max": 0.002}


def test_the_json_fields_stay(admin: RunningAdmin) -> None:
    """Programs read them: removing a name is a format change."""
    state = admin.client.state()

    assert set(state) >= {
        "format", "pid", "app", "addresses", "started_at", "now", "clock_s", "python",
        "adapting", "migrating", "start", "active", "engines", "migrator",
        "decisions", "switches", "verdicts", "switched",
    }  # fmt: skip
    assert set(state["decisions"][0]) >= {
        "at", "at_s", "active", "verdict", "to", "rule", "reason", "otherwise",
        "sample", "thresholds",
    }  # fmt: skip
    assert set(state["migrator"]) >= {
        "moves", "returned", "closed", "left", "carried_bytes", "pauses", "pausing_s",
    }  # fmt: skip


def test_as_many_decisions_are_told_as_are_asked_for(
    seen: Seen, admin: RunningAdmin
) -> None:
    seen.set["decisions"] = [decision(at_s) for at_s in range(1, 100)]

    assert len(admin.client.state()["decisions"]) == 32
    assert [d["at_s"] for d in admin.client.state(last=2)["decisions"]] == [98, 99]
    assert admin.client.state(last=0)["decisions"] == []
    with pytest.raises(AdminError, match="status 400: last must be a number"):
        admin.client.get("/state?last=all")


def test_only_the_owner_can_use_the_socket(admin: RunningAdmin) -> None:
    assert admin.path.name == f"{os.getpid()}.sock"
    assert mode_of(admin.path) == 0o600
    assert mode_of(admin.path.parent) == 0o700


def test_the_socket_has_its_name_last_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its mode is set anyone could connect; before it listens it looks like
    a dead server's socket, which a client would remove."""
    seen = []
    replace = Path.replace

    def look_and_replace(self: Path, target: Path) -> Path:
        listens = admin_socket.is_listened_to(self)
        seen.append((mode_of(self), mode_of(self.parent), listens))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look_and_replace)

    with admin_socket.bind(tmp_path / "server.sock"):
        assert seen == [(0o600, 0o700, True)]
        assert [path.name for path in tmp_path.iterdir()] == ["server.sock"]


def test_a_folder_that_others_could_read_is_closed_to_them(
    runtime_folder: Path, seen: Seen
) -> None:
    (runtime_folder / "aioadapt").mkdir(mode=0o755)

    with running_admin(seen.state) as running:
        assert mode_of(running.path.parent) == 0o700


def test_a_folder_that_is_not_ours_is_not_used(
    runtime_folder: Path, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    """Below /tmp any user may have put a link there."""
    elsewhere = runtime_folder / "elsewhere"
    elsewhere.mkdir()
    (runtime_folder / "aioadapt").symlink_to(elsewhere)

    with running_admin(seen.state) as running:
        assert running.admin.path is None

    assert "is not a folder owned by this user" in caplog.text
    assert list(elsewhere.iterdir()) == []


def test_without_a_place_for_its_socket_the_server_runs_on_with_a_warning(
    tmp_path: Path, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    with running_admin(seen.state, path=str(tmp_path / "no" / "a.sock")) as running:
        assert running.admin.path is None

    (record,) = [r for r in caplog.records if r.name == "aioadapt"]
    assert record.levelno == logging.WARNING
    assert "without the admin socket" in record.message


def test_off_is_no_socket_and_no_warning(
    runtime_folder: Path, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    with running_admin(seen.state, path="off") as running:
        assert running.admin.path is None

    assert list(runtime_folder.iterdir()) == []
    assert [r for r in caplog.records if r.name == "aioadapt"] == []


def test_a_path_too_long_for_a_socket_address_can_be_used(
    tmp_path: Path, seen: Seen
) -> None:
    path = tmp_path / ("deep" * 30) / "server.sock"
    path.parent.mkdir()

    with running_admin(seen.state, path=str(path)) as running:
        assert len(str(path)) > 108
        assert AdminClient(path).get("/healthz") == b"ok\n"
        assert running.path == path


def test_stopping_removes_the_socket(admin: RunningAdmin) -> None:
    path = admin.path

    admin.stop()

    assert list(path.parent.iterdir()) == []
    with pytest.raises(AdminError, match="cannot read /state"):
        AdminClient(path).state()


def test_stopping_leaves_another_servers_socket_alone(
    tmp_path: Path, seen: Seen
) -> None:
    path = tmp_path / "a.sock"
    with running_admin(seen.state, path=str(path)) as running:
        path.unlink()
        with admin_socket.bind(path):
            running.stop()
            assert path.exists()
            assert admin_socket.is_listened_to(path)


def test_a_socket_that_somebody_listens_on_is_not_taken(
    tmp_path: Path, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.sock"
    with running_admin(seen.state, path=str(path)) as first:
        with running_admin(seen.state, path=str(path)) as second:
            assert second.admin.path is None
        assert first.client.get("/healthz") == b"ok\n"

    assert "another server is listening on" in caplog.text


def test_a_file_in_the_way_is_not_overwritten(
    tmp_path: Path, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.sock"
    path.write_text("precious")

    with running_admin(seen.state, path=str(path)) as running:
        assert running.admin.path is None

    assert path.read_text() == "precious"
    assert "exists and is not a socket" in caplog.text


def test_what_dead_servers_left_is_removed(seen: Seen, runtime_folder: Path) -> None:
    admin_socket.make_folder(runtime_folder / "aioadapt")
    stale = admin_socket.path_of(1)
    admin_socket.bind(stale).close()
    assert stale.exists()

    with running_admin(seen.state):
        assert not stale.exists()
        assert [path.stem for path in admin_socket.find()] == [str(os.getpid())]


def test_a_client_finds_the_only_server(admin: RunningAdmin) -> None:
    for server in (None, str(os.getpid()), str(admin.path)):
        assert choose(server).state()["pid"] == os.getpid()


def test_a_server_that_was_started_without_a_runtime_folder_is_found_as_well(
    seen: Seen, runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """System services are started like this."""
    (runtime_folder / "shared").mkdir(mode=0o1777)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with running_admin(seen.state) as running:
        assert running.path.parent.parent == runtime_folder / "shared"
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_folder))
        assert choose(None).path == running.path
        (runtime_folder / "aioadapt").mkdir(mode=0o700)
        with running_admin(seen.state, path=str(admin_socket.path_of(1))) as usual:
            assert choose(None).path == usual.path
            assert choose(str(os.getpid())).path == running.path


def test_a_client_does_not_look_into_a_folder_that_another_user_may_have_made(
    seen: Seen, runtime_folder: Path
) -> None:
    elsewhere = runtime_folder / "elsewhere"
    elsewhere.mkdir()
    (runtime_folder / "aioadapt").symlink_to(elsewhere)
    with running_admin(seen.state, path=str(elsewhere / "1.sock")):
        assert admin_socket.find() == []


def test_without_a_server_a_client_is_told_where_it_looked(
    runtime_folder: Path,
) -> None:
    with pytest.raises(AdminError) as none:
        choose(None)
    assert str(none.value) == (
        f"no running server found in {runtime_folder}/aioadapt or {runtime_folder}"
        f"/shared/aioadapt-{os.getuid()}; start one with `aioadapt serve`"
    )
    with pytest.raises(AdminError, match="no running server with pid 4711 found in"):
        choose("4711")


def test_several_servers_are_listed(seen: Seen, admin: RunningAdmin) -> None:
    other = str(admin_socket.path_of(99999999))
    with running_admin(seen.state, path=other), pytest.raises(AdminError) as several:
        choose(None)

    assert "several servers are running; name one: " in str(several.value)
    assert f"{os.getpid()} (shop:app on http://127.0.0.1:8000)" in str(several.value)
    assert "99999999 (shop:app" in str(several.value)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_tcp_address_is_on_loopback_and_only_for_reading(
    method: str, seen: Seen
) -> None:
    with (
        running_admin(seen.state, path="off", tcp=("127.0.0.1", 0)) as running,
        Client(running.admin.tcp) as client,
    ):
        assert json.loads(client.get("/state"))["app"] == "shop:app"
        client.request("HEAD", "/state")
        response = client.getresponse()
        assert (response.status, response.read()) == (200, b"")
        assert int(response.headers["content-length"]) > 0
        client.request(method, "/state", body=b"x")
        response = client.getresponse()
        assert response.status == 405
        assert response.headers["allow"] == "GET, HEAD"


def test_tcp_is_off_by_default(admin: RunningAdmin) -> None:
    assert admin.admin.tcp is None


def test_a_tcp_port_in_use_costs_the_tcp_address_only(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        running_admin(seen.state, path="off", tcp=("127.0.0.1", 0)) as first,
        running_admin(seen.state, tcp=first.admin.tcp) as second,
    ):
        assert second.admin.tcp is None
        assert second.client.get("/healthz") == b"ok\n"

    assert "without the admin TCP address" in caplog.text


def test_what_is_not_there_is_told_what_is(admin: RunningAdmin) -> None:
    with pytest.raises(AdminError, match="status 404: not found; try /state, /metrics"):
        admin.client.get("/")


def test_stopping_does_not_wait_for_a_client_that_stays(seen: Seen) -> None:
    with (
        running_admin(seen.state) as running,
        admin_socket.connect(running.path, 10) as idle,
    ):
        # The connection is served, not just waiting to be accepted.
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1) == b"H"
        running.stop()
        while idle.recv(4096):
            pass


def test_stopping_ends_what_is_accepted_and_not_yet_connected(seen: Seen) -> None:
    async def main() -> None:
        admin = Admin(seen.state)
        await admin.start()
        assert admin.path is not None
        assert admin._server is not None
        [listener] = admin._sockets
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(admin.path))
            admin._server._accept(listener)
            await admin.stop()
            peer.setblocking(False)
            assert peer.recv(1) == b""

    asyncio.run(main())


def test_looking_leaves_the_applications_loggers_alone(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn's loggers are global: the application's server has configured them."""
    access = logging.getLogger("uvicorn.access")
    before = (access.level, list(access.handlers), access.propagate)
    caplog.set_level(logging.INFO)

    with running_admin(seen.state) as running:
        running.client.get("/healthz")

    assert (access.level, list(access.handlers), access.propagate) == before
    assert [r.message for r in caplog.records if "uvicorn" in r.name] == []

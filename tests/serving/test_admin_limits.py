"""What the admin address costs the process, and whether it answers in need."""

import asyncio
import contextlib
import os
import resource
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from seen import RunningAdmin, Seen, decision, running_admin

from aioadapt.serving import admin_server
from aioadapt.serving.admin import RESERVED, Admin
from aioadapt.serving.reserve import Reserve

pytestmark = pytest.mark.usefixtures("runtime_folder")

WITHIN_S = 10.0

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(params=["epoll", "uring"])
def admin(seen: Seen, request: pytest.FixtureRequest) -> Iterator[RunningAdmin]:
    with running_admin(seen.state, engine=request.param) as running:
        yield running


class Peer:
    """A socket, so far without a connection: connecting takes no descriptor."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WITHIN_S)

    def connect(self, path: Path) -> None:
        self.sock.connect(str(path))

    def is_answered(self) -> bool:
        try:
            self.sock.sendall(REQUEST)
            answer = self.sock.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return answer.startswith(b"HTTP/1.1 200")

    def is_closed(self) -> bool:
        try:
            while self.sock.recv(4096):
                pass
        except ConnectionResetError:
            pass
        return True

    def close(self) -> None:
        self.sock.close()


@contextlib.contextmanager
def peers(count: int) -> Iterator[list[Peer]]:
    with contextlib.ExitStack() as stack:
        made = [Peer() for _ in range(count)]
        for peer in made:
            stack.callback(peer.close)
        yield made


@pytest.fixture
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_server, "EXCHANGE_WITHIN_S", 0.2)


@pytest.mark.usefixtures("short_limit")
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        REQUEST[:20],
        REQUEST,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    ],
    ids=["nothing", "half a head", "a request", "no body"],
)
def test_a_connection_that_falls_silent_is_closed(
    admin: RunningAdmin, sent: bytes
) -> None:
    with peers(1) as (peer,):
        peer.connect(admin.path)
        peer.sock.sendall(sent)
        assert peer.is_closed()


@pytest.mark.usefixtures("short_limit")
def test_a_connection_that_does_not_read_its_response_is_closed(
    seen: Seen, admin: RunningAdmin
) -> None:
    seen.set["decisions"] = [decision(at_s) for at_s in range(1, 2000)]
    with peers(1) as (peer,):
        peer.connect(admin.path)
        peer.sock.sendall(b"GET /state?last=2000 HTTP/1.1\r\nHost: x\r\n\r\n")
        hang_up = select.poll()
        hang_up.register(peer.sock, 0)
        assert hang_up.poll(WITHIN_S * 1000) == [(peer.sock.fileno(), select.POLLHUP)]


def test_a_connection_that_asks_now_and_then_is_kept(
    admin: RunningAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is for one request, not for the connection."""
    monkeypatch.setattr(admin_server, "EXCHANGE_WITHIN_S", 1.0)
    with peers(1) as (peer,):
        peer.connect(admin.path)
        for _ in range(4):
            assert peer.is_answered()
            peer.sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                peer.sock.recv(1)
            peer.sock.settimeout(WITHIN_S)


def test_at_the_most_the_one_that_is_silent_longest_makes_room(
    admin: RunningAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_server, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(admin_server, "SILENT_S", 0.05)
    with peers(5) as (first, *others, last):
        first.connect(admin.path)
        for peer in others:
            peer.connect(admin.path)
            assert peer.is_answered()
        last.connect(admin.path)

        assert last.is_answered()
        assert first.is_closed()
        assert [peer.is_answered() for peer in others] == [True] * 3


def test_more_clients_at_once_than_connections_are_all_answered(
    admin: RunningAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for each other; none is closed while it is at work."""
    monkeypatch.setattr(admin_server, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(admin_server, "SILENT_S", WITHIN_S)
    with peers(12) as waiting:
        for peer in waiting:
            peer.connect(admin.path)
        for peer in waiting:
            assert peer.is_answered()
            peer.close()


def test_silent_connections_take_no_more_descriptors_than_the_limit(
    admin: RunningAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_server, "SILENT_S", 0.01)
    with peers(101) as (*silent, last):
        before = len(os.listdir("/proc/self/fd"))
        for peer in silent:
            peer.connect(admin.path)
        last.connect(admin.path)
        # It was the last in the queue, so all the others have been accepted.
        assert last.is_answered()
        now = len(os.listdir("/proc/self/fd"))
    assert now <= before + admin_server.MOST_CONNECTIONS


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in taken:
            os.close(number)


def test_without_a_descriptor_in_the_process_it_answers(admin: RunningAdmin) -> None:
    with peers(6) as asking, no_descriptor_left():
        for peer in asking:
            peer.connect(admin.path)
            assert peer.is_answered()
            peer.close()


def test_without_a_descriptor_silent_connections_make_room(
    admin: RunningAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_server, "SILENT_S", 0.05)
    with peers(RESERVED + 4) as (*silent, last), no_descriptor_left():
        for peer in silent:
            peer.connect(admin.path)
        last.connect(admin.path)
        assert last.is_answered()
        assert silent[0].is_closed()


def test_what_it_had_in_reserve_it_takes_again(admin: RunningAdmin) -> None:
    server: Any = admin.admin._server
    with peers(RESERVED + 1) as (*asking, last):
        with no_descriptor_left():
            for peer in asking:
                peer.connect(admin.path)
                assert peer.is_answered()
            assert server._reserve._spare == []
        # There are descriptors again, and the next attempt finds them.
        for peer in asking:
            peer.close()
        last.connect(admin.path)
        while len(server._reserve._spare) < RESERVED:
            assert last.is_answered()


def test_on_asyncios_loop_it_answers_without_a_descriptor_too(seen: Seen) -> None:
    """The control loop is the caller's."""

    async def main() -> None:
        admin = Admin(seen.state)
        await admin.start()
        assert admin.path is not None
        with peers(4) as asking:
            # The first call of to_thread makes its thread.
            await asyncio.to_thread(asking[0].connect, admin.path)
            with no_descriptor_left():
                for peer in asking[1:]:
                    await asyncio.to_thread(peer.connect, admin.path)
                    assert await asyncio.to_thread(peer.is_answered)
                    peer.close()
        await admin.stop()

    asyncio.run(main())


def test_a_descriptor_is_lent_and_taken_back() -> None:
    reserve = Reserve(1)
    assert reserve.fill()
    try:
        with no_descriptor_left():
            with reserve.lent():
                os.close(os.open(os.devnull, os.O_RDONLY))
            assert reserve.free_one()
            assert not reserve.free_one()
            assert reserve.fill()
            with reserve.lent():
                taken = os.open(os.devnull, os.O_RDONLY)
            assert not reserve.fill(), "somebody else has it"
        os.close(taken)
    finally:
        reserve.close()
    with reserve.lent():
        assert reserve._spare == []

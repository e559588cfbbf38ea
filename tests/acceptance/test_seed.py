"""What aioadapt was first asked for.

Two native event loops, set by asyncio's policy; on two threads; an idle HTTP/1
connection that moves from one to the other and back; the other thread woken by
``call_soon_threadsafe`` and an eventfd; and pytest-asyncio tests that run on both.

Whatever the project becomes, this holds: the assertions here do not change.
"""

import asyncio
import contextlib
import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import aioadapt

pytestmark = [
    # asyncio deprecates policies from Python 3.14 on, ours with them.
    pytest.mark.filterwarnings("ignore:.*[Pp]olicy.*:DeprecationWarning"),
    pytest.mark.skipif(
        not aioadapt.uring_support().available,
        reason=f"no io_uring here: {aioadapt.uring_support().reason}",
    ),
]

ANSWERS_WITHIN_S = 10


set_policy: Callable[[object], None] = getattr(asyncio, "set_event_loop_policy", print)
has_policies = pytest.mark.skipif(set_policy is print, reason="asyncio has no policies")


class WhoServes(asyncio.Protocol):
    """Answers each HTTP/1 request with the name of the thread that it runs on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        name = threading.current_thread().name.encode()
        for _ in range(data.count(b"\r\n\r\n")):
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name)
            )


async def listen(listener: socket.socket) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(WhoServes, sock=listener)


async def close(server: asyncio.Server) -> None:
    server.close()


def ask(client: http.client.HTTPConnection) -> str:
    client.request("GET", "/")
    return client.getresponse().read().decode()


@pytest.fixture
def epoll() -> Iterator[aioadapt.LoopThread]:
    with aioadapt.LoopThread("epoll", name="epoll") as thread:
        yield thread


@pytest.fixture
def uring() -> Iterator[aioadapt.LoopThread]:
    with aioadapt.LoopThread("uring", name="uring") as thread:
        yield thread


@has_policies
@pytest.mark.parametrize(
    ("engine", "loop_class"),
    [("epoll", aioadapt.EpollEventLoop), ("uring", aioadapt.UringEventLoop)],
)
def test_the_policy_gives_asyncio_our_loops(engine: str, loop_class: type) -> None:
    async def running_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    set_policy(aioadapt.EventLoopPolicy(engine))
    try:
        assert isinstance(asyncio.run(running_loop()), loop_class)
    finally:
        set_policy(None)


@has_policies
def test_the_policy_chooses_a_native_loop_by_itself() -> None:
    async def running_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    set_policy(aioadapt.EventLoopPolicy())
    try:
        loop = asyncio.run(running_loop())
        assert isinstance(loop, (aioadapt.EpollEventLoop, aioadapt.UringEventLoop))
    finally:
        set_policy(None)


def test_an_idle_connection_moves_to_the_other_loop_and_back(
    epoll: aioadapt.LoopThread, uring: aioadapt.LoopThread
) -> None:
    """The same TCP connection throughout: http.client would raise if it ended."""
    migrator = aioadapt.Migrator()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        on_epoll = epoll.submit(listen(listener.dup())).result(ANSWERS_WITHIN_S)
        client = http.client.HTTPConnection(host, port, timeout=ANSWERS_WITHIN_S)
        client.connect()
        client.auto_open = 0
        assert ask(client) == "epoll"
        local_address = client.sock.getsockname()
        on_uring = uring.submit(listen(listener.dup())).result(ANSWERS_WITHIN_S)

        (connection,) = epoll.connections
        for source, target in [(epoll, uring), (uring, epoll)] * 3:
            report = asyncio.run(migrator.drain(source, to=target))

            assert (report.moved, report.left) == (1, {})
            assert connection.thread is target
            assert ask(client) == target.name
            assert client.sock.getsockname() == local_address

        assert connection.requests == 7
        assert migrator.stats.moves == {"epoll>uring": 3, "uring>epoll": 3}
        client.close()
        for thread, server in ((epoll, on_epoll), (uring, on_uring)):
            thread.submit(close(server)).result(ANSWERS_WITHIN_S)


def eventfds() -> set[int]:
    """The eventfds that this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventfd]":
                found.add(int(name))
    return found


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def is_asleep(native_id: int) -> bool:
    """Whether the kernel has put a thread of this process to sleep."""
    stat = Path(f"/proc/self/task/{native_id}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_call_soon_threadsafe_wakes_a_sleeping_loop_through_an_eventfd(
    engine: str,
) -> None:
    async def native_id() -> int:
        return threading.get_native_id()

    called_on: list[int] = []
    others = eventfds()
    with aioadapt.LoopThread(engine) as thread:
        loop = thread.loop
        sleeper = thread.submit(native_id()).result(ANSWERS_WITHIN_S)
        (wakeup,) = eventfds() - others

        wait_until(lambda: is_asleep(sleeper))
        loop.call_soon_threadsafe(lambda: called_on.append(threading.get_native_id()))
        wait_until(lambda: called_on == [sleeper])

        wait_until(lambda: is_asleep(sleeper))
        before = loop.stats().iterations
        os.eventfd_write(wakeup, 1)
        wait_until(lambda: loop.stats().iterations > before)


@pytest.mark.asyncio
@pytest.mark.aioadapt("epoll", "uring")
async def test_a_test_of_pytest_asyncio_runs_on_both_loops(
    request: pytest.FixtureRequest,
) -> None:
    loop = asyncio.get_running_loop()
    loop_class = {
        "epoll": aioadapt.EpollEventLoop,
        "uring": aioadapt.UringEventLoop,
    }[request.node.callspec.id]

    assert isinstance(loop, loop_class)
    await asyncio.sleep(0.001)

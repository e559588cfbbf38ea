"""A ring can be used only by the thread that enabled it, never by a forked child."""

import asyncio
import gc
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aioadapt import UringEventLoop, WrongThreadError
from aioadapt._testing.stepping import Completion, PollOnce, StepRing

from .conftest import COMPLETES_WITHIN_S, SUPPORT, Pair, drain

SINGLE_ISSUER = 1 << 12


def on_another_thread(what: Callable[[], Any]) -> Any:
    """Returns what *what* returns or raises, after joining the thread."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(what())
        except Exception as exc:
            outcome.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


def test_a_ring_entered_from_another_thread_says_whose_it_is(
    ring: StepRing, pair: Pair
) -> None:
    if not ring.setup_flags & SINGLE_ISSUER:
        pytest.skip("this kernel binds no ring to a thread")
    op = PollOnce(pair[0].fileno())
    ring.begin(op)

    outcome = on_another_thread(ring.enter)

    assert isinstance(outcome, WrongThreadError)
    assert f"bound to thread {threading.get_native_id()}" in str(outcome)
    pair[1].send(b"x")
    drain(ring)
    assert op.completions == [Completion(1, last=True)], "and goes on working here"


# -- Loops.


@pytest.fixture
def loop(nothing_is_left: None) -> Iterator[UringEventLoop]:
    if not SUPPORT.available:
        pytest.skip(SUPPORT.reason)
    loop = UringEventLoop()
    yield loop
    loop.close()
    assert loop.stats().in_kernel == 0


async def an_iteration() -> int:
    await asyncio.sleep(0)
    return threading.get_native_id()


def test_a_loop_runs_on_a_second_thread_when_nothing_is_in_flight(
    loop: UringEventLoop,
) -> None:
    here = loop.run_until_complete(an_iteration())
    there = on_another_thread(lambda: loop.run_until_complete(an_iteration()))
    assert isinstance(there, int)
    assert there != here

    assert loop.run_until_complete(an_iteration()) == here


def test_counters_go_on_counting_on_the_second_thread(loop: UringEventLoop) -> None:
    async def a_cancelled_receive() -> None:
        ours, peer = socket.socketpair()
        with peer:
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
            transport.close()
            await asyncio.sleep(0)

    loop.run_until_complete(a_cancelled_receive())
    first = loop.stats().cancels
    assert first >= 1
    on_another_thread(lambda: loop.run_until_complete(a_cancelled_receive()))
    assert loop.stats().cancels == 2 * first


def test_a_loop_that_watches_descriptors_runs_on_a_second_thread(
    loop: UringEventLoop,
) -> None:
    """As with asyncio: an epoll instance is not tied to a thread."""
    ours, peer = socket.socketpair()
    with ours, peer:
        came: list[int] = []

        def readable() -> None:
            ours.recv(1)
            came.append(threading.get_native_id())
            loop.stop()

        loop.add_reader(ours, readable)
        peer.send(b"x")
        loop.run_forever()
        peer.send(b"x")
        on_another_thread(loop.run_forever)
        peer.send(b"x")
        loop.run_forever()
        loop.remove_reader(ours)
    assert len(came) == 3
    assert came[0] == came[2] != came[1]


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def test_connections_and_servers_go_on_on_a_second_thread(
    loop: UringEventLoop,
) -> None:
    """As with asyncio: a server made by run_until_complete, then run by a thread."""

    async def connect() -> tuple[asyncio.Server, socket.socket]:
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        client.settimeout(COMPLETES_WITHIN_S)
        client.sendall(b"one")
        assert await asyncio.to_thread(client.recv, 10) == b"one"
        return server, client

    async def another(server: asyncio.Server, client: socket.socket) -> bytes:
        client.sendall(b"two")
        second = socket.create_connection(server.sockets[0].getsockname())
        with second:
            second.settimeout(COMPLETES_WITHIN_S)
            second.sendall(b"three")
            return await asyncio.to_thread(
                lambda: client.recv(10) + b" " + second.recv(10)
            )

    server, client = loop.run_until_complete(connect())
    with client:
        here_and_there = [
            on_another_thread(lambda: loop.run_until_complete(another(server, client))),
            loop.run_until_complete(another(server, client)),
        ]
        server.close()
    loop.run_until_complete(asyncio.sleep(0.01))

    assert here_and_there == [b"two three"] * 2


def test_what_a_full_socket_did_not_take_is_sent_by_the_next_thread(
    loop: UringEventLoop,
) -> None:
    ours, peer = socket.socketpair()
    size = 1 << 20
    protocol: list[str] = []

    class Writer(asyncio.Protocol):
        def pause_writing(self) -> None:
            protocol.append("pause")

        def resume_writing(self) -> None:
            protocol.append("resume")

    async def write() -> Any:
        transport, _ = await loop.create_connection(Writer, sock=ours)
        transport.write(b"x" * size)
        await asyncio.sleep(0)
        return transport

    async def send_all(transport: Any) -> None:
        while transport.get_write_buffer_size():
            await asyncio.sleep(0)
            read(peer)
        transport.close()

    got = 0

    def read(peer: socket.socket) -> None:
        nonlocal got
        try:
            got += len(peer.recv(1 << 20))
        except BlockingIOError:
            pass

    with peer:
        peer.setblocking(False)
        transport = loop.run_until_complete(write())
        assert loop.stats().in_kernel == 0, "a loop that does not run holds nothing"
        read(peer)
        on_another_thread(lambda: loop.run_until_complete(send_all(transport)))
        read(peer)
        loop.run_until_complete(an_iteration())
        assert (got, protocol) == (size, ["pause", "resume"])


def test_a_loop_whose_thread_has_just_been_joined_can_be_closed(
    nothing_is_left: None,
) -> None:
    """Before Python 3.13 ``join`` may return before the kernel's thread has exited."""
    if not SUPPORT.available:
        pytest.skip(SUPPORT.reason)
    for _ in range(50):
        loop = UringEventLoop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def serve_on_a_thread(loop: UringEventLoop, connections: int) -> list[socket.socket]:
    """Run a loop with a server and its connections on a thread until that ends."""
    clients: list[socket.socket] = []

    async def serve() -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, backlog=512)
        address = server.sockets[0].getsockname()
        clients.extend(socket.create_connection(address) for _ in range(connections))
        while len(loop.streams()) < connections:
            await asyncio.sleep(0)

    on_another_thread(lambda: loop.run_until_complete(serve()))
    return clients


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_closing_a_loop_whose_thread_has_ended_frees_all_that_it_had_begun(
    nothing_is_left: None,
) -> None:
    """There are more connections than submission queue entries, and nothing can be
    submitted any more, so closing must not need to submit."""
    if not SUPPORT.available:
        pytest.skip(SUPPORT.reason)
    loop = UringEventLoop()
    clients = serve_on_a_thread(loop, 300)
    alive = weakref.ref(loop)

    loop.close()
    del loop
    gc.collect()

    assert alive() is None
    for client in clients:
        client.settimeout(COMPLETES_WITHIN_S)
        assert client.recv(1) == b""
        client.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_is_closed_by_another_thread_while_its_own_lives(
    nothing_is_left: None,
) -> None:
    if not SUPPORT.available:
        pytest.skip(SUPPORT.reason)
    loop = UringEventLoop()
    stopped, may_end = threading.Event(), threading.Event()
    clients: list[socket.socket] = []

    async def serve() -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        clients.append(socket.create_connection(server.sockets[0].getsockname()))
        while not loop.streams():
            await asyncio.sleep(0)

    def run() -> None:
        loop.run_until_complete(serve())
        stopped.set()
        may_end.wait(COMPLETES_WITHIN_S)

    thread = threading.Thread(target=run)
    thread.start()
    assert stopped.wait(COMPLETES_WITHIN_S)
    loop.close()
    gc.collect()

    (client,) = clients
    client.settimeout(COMPLETES_WITHIN_S)
    assert client.recv(1) == b""
    client.close()
    may_end.set()
    thread.join()

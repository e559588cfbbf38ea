"""Many datagrams: batches, pauses, a full socket, and closing."""

import asyncio
import contextvars
import gc
import socket
import sys
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from loops import LoopFactory, Reported, Run

from .test_datagrams import DatagramEcho, Datagrams

P = TypeVar("P", bound=Datagrams)
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[Pair]:
    """Connected Unix datagram sockets: they fill up quickly and lose nothing."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for sock, name in ((ours, "ours"), (theirs, "theirs")):
        sock.bind(str(tmp_path / name))
        sock.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def test_its_socket_has_the_name_that_people_look_for(
    loop: AbstractEventLoop, unix: Pair
) -> None:
    transport, protocol = await over(loop, Datagrams, unix[0])
    assert transport._sock is unix[0]  # type: ignore[attr-defined]
    transport.close()
    await protocol.until(lambda: protocol.is_lost)
    # The socket is closed one iteration later.
    await asyncio.sleep(0)
    assert transport._sock is None  # type: ignore[attr-defined]


async def over(
    loop: AbstractEventLoop, protocol: type[P], sock: socket.socket
) -> tuple[asyncio.DatagramTransport, P]:
    return await loop.create_datagram_endpoint(protocol, sock=sock)


def receive_all(sock: socket.socket) -> list[bytes]:
    received = []
    try:
        while True:
            received.append(sock.recv(1 << 20))
    except BlockingIOError:
        return received


def fill(transport: asyncio.DatagramTransport, data: bytes | bytearray) -> int:
    """Send until the socket is full and the last datagram waits."""
    sent = 0
    while not transport.get_write_buffer_size():  # type: ignore[attr-defined]
        transport.sendto(data)
        sent += 1
    return sent


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


class Flow(Datagrams):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")
        self.changed()


# -- receiving ----------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 15, 16, 17, 100])
async def test_what_waits_in_the_socket_arrives_whole_and_in_order(
    loop: AbstractEventLoop, count: int
) -> None:
    _, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        for data in numbered(count):
            peer.sendto(data, protocol.transport.get_extra_info("sockname"))
        name = peer.getsockname()
        assert await protocol.got(count) == [(d, name) for d in numbered(count)]
    await protocol.close()


async def test_a_protocol_that_pauses_gets_no_more_and_later_all_the_rest(
    loop: AbstractEventLoop,
) -> None:
    class PausesAtEvery5th(Datagrams):
        def datagram_received(self, data: bytes, address: object) -> None:
            super().datagram_received(data, address)
            if len(self.received) % 5 == 0:
                self.transport.pause_reading()  # type: ignore[attr-defined]

    _, protocol = await loop.create_datagram_endpoint(
        PausesAtEvery5th, local_addr=("127.0.0.1", 0)
    )
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.connect(protocol.transport.get_extra_info("sockname"))
        for data in numbered(30):
            peer.send(data)
    for pauses in range(1, 7):
        await protocol.got(5 * pauses)
        for _ in range(3):
            await asyncio.sleep(0)
        assert [d for d, _ in protocol.received] == numbered(5 * pauses)
        protocol.transport.resume_reading()  # type: ignore[attr-defined]
    await protocol.close()


async def test_a_protocol_that_closes_gets_no_more(loop: AbstractEventLoop) -> None:
    class ClosesAtOnce(Datagrams):
        def datagram_received(self, data: bytes, address: object) -> None:
            super().datagram_received(data, address)
            self.transport.close()

    _, protocol = await loop.create_datagram_endpoint(
        ClosesAtOnce, local_addr=("127.0.0.1", 0)
    )
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.connect(protocol.transport.get_extra_info("sockname"))
        for data in numbered(10):
            peer.send(data)
    await protocol.until(lambda: protocol.is_lost)
    assert [d for d, _ in protocol.received] == [b"0"]


async def test_a_protocol_that_raises_is_reported_and_the_next_datagram_arrives(
    loop: AbstractEventLoop, reported: Reported
) -> None:
    class Raises(Datagrams):
        def datagram_received(self, data: bytes, address: object) -> None:
            super().datagram_received(data, address)
            raise LookupError(data.decode())

    _, protocol = await loop.create_datagram_endpoint(
        Raises, local_addr=("127.0.0.1", 0)
    )
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.connect(protocol.transport.get_extra_info("sockname"))
        for data in numbered(3):
            peer.send(data)
    await protocol.got(3)
    assert not protocol.transport.is_closing()
    await protocol.close()
    assert [repr(each["exception"]) for each in reported] == [
        repr(LookupError(each)) for each in "012"
    ]
    reported.clear()


def test_an_interrupt_leaves_the_loop_and_loses_no_datagram(
    loop: AbstractEventLoop,
) -> None:
    class Interrupts(Datagrams):
        def datagram_received(self, data: bytes, address: object) -> None:
            super().datagram_received(data, address)
            if data in (b"1", b"3"):
                raise KeyboardInterrupt

    async def main() -> list[bytes]:
        _, protocol = await loop.create_datagram_endpoint(
            Interrupts, local_addr=("127.0.0.1", 0)
        )
        with socket.socket(type=socket.SOCK_DGRAM) as peer:
            peer.connect(protocol.transport.get_extra_info("sockname"))
            for data in numbered(6):
                peer.send(data)
        await protocol.got(6)
        await protocol.close()
        return [data for data, _ in protocol.received]

    task = loop.create_task(main())
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
    assert loop.run_until_complete(task) == numbered(6)


async def test_each_of_very_many_peers_gets_its_own_answer(
    loop: AbstractEventLoop,
) -> None:
    """More than the loop remembers: no address may be confused with another."""

    _, echo = await loop.create_datagram_endpoint(
        DatagramEcho, local_addr=("127.0.0.1", 0)
    )
    peers = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(600)]
    for turn in range(2):
        for number, peer in enumerate(peers):
            peer.settimeout(5)
            peer.connect(echo.transport.get_extra_info("sockname"))
            peer.send(b"%d" % number)
            if number % 50 == 49:
                await echo.got(turn * len(peers) + number + 1)
        for number, peer in enumerate(peers):
            assert peer.recv(100) == b"%d" % number
    names = [peer.getsockname() for peer in peers]
    assert [address for _, address in echo.received] == 2 * names
    for peer in peers:
        peer.close()
    await echo.close()


def test_callbacks_run_in_the_context_in_which_the_endpoint_was_made(
    loop: AbstractEventLoop, run: Run
) -> None:
    where = contextvars.ContextVar("where", default="nowhere")
    seen: list[str] = []

    class Looks(Datagrams):
        def datagram_received(self, data: bytes, address: object) -> None:
            seen.append(where.get())
            super().datagram_received(data, address)

    async def main() -> None:
        where.set("made")
        _, protocol = await loop.create_datagram_endpoint(
            Looks, local_addr=("127.0.0.1", 0)
        )
        where.set("later")
        protocol.transport.sendto(
            b"to myself", protocol.transport.get_extra_info("sockname")
        )
        await protocol.got(1)
        await protocol.close()

    run(main())
    assert seen == ["made"]


async def test_the_protocol_can_be_replaced(loop: AbstractEventLoop) -> None:
    transport, first = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    assert transport.get_protocol() is first
    second = Datagrams()
    transport.set_protocol(second)
    transport.sendto(b"x", transport.get_extra_info("sockname"))
    await second.got(1)
    transport.close()
    await second.until(lambda: second.is_lost)
    assert not first.is_lost


# -- a full socket ------------------------------------------------------------


async def test_what_a_full_socket_refuses_waits_and_leaves_in_order(
    loop: AbstractEventLoop, unix: Pair
) -> None:
    ours, theirs = unix

    transport, protocol = await over(loop, Flow, ours)
    for data in numbered(1000):
        transport.sendto(data)
    assert transport.get_write_buffer_size() > 0  # type: ignore[attr-defined]
    received: list[bytes] = []
    while len(received) < 1000:
        received += receive_all(theirs)
        await asyncio.sleep(0)
    assert received == numbered(1000)
    await protocol.close()


async def test_a_full_socket_pauses_the_protocol_until_there_is_room(
    loop: AbstractEventLoop, unix: Pair
) -> None:
    ours, theirs = unix

    transport, protocol = await over(loop, Flow, ours)
    transport.set_write_buffer_limits(high=10_000, low=1000)  # type: ignore[attr-defined]
    assert transport.get_write_buffer_limits() == (1000, 10_000)  # type: ignore[attr-defined]
    sent = 0
    while not protocol.calls:
        transport.sendto(bytes(1000))
        sent += 1
    assert protocol.calls == ["pause"]
    received = 0
    while received < sent:
        received += len(receive_all(theirs))
        await asyncio.sleep(0)
    assert protocol.calls == ["pause", "resume"]
    await protocol.close()


async def test_the_protocol_resumes_below_the_low_mark_not_only_when_all_is_sent(
    loop: AbstractEventLoop, unix: Pair
) -> None:
    ours, theirs = unix

    transport, protocol = await over(loop, Flow, ours)
    transport.set_write_buffer_limits(high=300_000, low=200_000)  # type: ignore[attr-defined]
    sent = received = 0
    while not protocol.calls:
        transport.sendto(bytes(1000))
        sent += 1
    # One at a time, so that the buffer shrinks a little with each.
    while "resume" not in protocol.calls:
        theirs.recv(1 << 20)
        received += 1
        for _ in range(3):
            await asyncio.sleep(0)
    assert transport.get_write_buffer_size() > 0  # type: ignore[attr-defined]
    # Don't wait for a size of 0: before 3.13.1 asyncio never gets back to it.
    while received < sent:
        received += len(receive_all(theirs))
        await asyncio.sleep(0)
    assert protocol.calls == ["pause", "resume"]
    await protocol.close()


@pytest.mark.parametrize("room_is_first", [False, True])
async def test_what_has_arrived_is_told_before_there_is_room(
    loop: AbstractEventLoop, unix: Pair, room_is_first: bool
) -> None:
    class Both(Flow):
        def datagram_received(self, data: bytes, address: object) -> None:
            self.calls.append("datagram")
            super().datagram_received(data, address)

    ours, theirs = unix

    transport, protocol = await over(loop, Both, ours)
    # asyncio 3.13.0 still counts the headers of datagrams that were sent.
    transport.set_write_buffer_limits(high=150, low=50)  # type: ignore[attr-defined]
    fill(transport, b"waits")
    transport.sendto(bytes(150))
    for _ in range(3):
        await asyncio.sleep(0)
    if not room_is_first:
        theirs.send(b"arrives")
    receive_all(theirs)
    if room_is_first:
        theirs.send(b"arrives")
    await protocol.until(lambda: len(protocol.calls) == 3)
    assert protocol.calls == ["pause", "datagram", "resume"]
    await protocol.close()


@pytest.mark.ours_only
async def test_nothing_counts_as_waiting_once_all_has_left(
    loop: AbstractEventLoop, unix: Pair
) -> None:
    """asyncio 3.13.0 adds 8 bytes for a header and never subtracts them."""
    ours, theirs = unix

    transport, protocol = await over(loop, Flow, ours)
    sent = fill(transport, b"12")
    header = 8 if sys.version_info >= (3, 13) else 0
    assert transport.get_write_buffer_size() == 2 + header  # type: ignore[attr-defined]
    received = 0
    while received < sent:
        received += len(receive_all(theirs))
        await asyncio.sleep(0)
    assert transport.get_write_buffer_size() == 0  # type: ignore[attr-defined]
    await protocol.close()


async def test_closing_sends_what_waits(loop: AbstractEventLoop, unix: Pair) -> None:
    ours, theirs = unix

    transport, protocol = await over(loop, Flow, ours)
    sent = numbered(fill(transport, b"before"))
    for data in sent:
        transport.sendto(data)
    transport.close()
    await asyncio.sleep(0)
    assert transport.is_closing()
    assert not protocol.is_lost
    received: list[bytes] = []
    while not protocol.is_lost:
        received += receive_all(theirs)
        await asyncio.sleep(0)
    received += receive_all(theirs)
    assert received == len(sent) * [b"before"] + sent


async def test_abort_drops_what_waits(loop: AbstractEventLoop, unix: Pair) -> None:
    ours, theirs = unix

    transport, protocol = await over(loop, Flow, ours)
    sent = fill(transport, b"before")
    transport.abort()
    await protocol.until(lambda: protocol.is_lost)
    assert len(receive_all(theirs)) == sent - 1


async def test_what_waits_for_a_peer_that_is_gone_fails_one_datagram_in_an_iteration(
    loop: AbstractEventLoop, unix: Pair
) -> None:
    """However much waits, other callbacks run between two of its errors."""
    ours, theirs = unix

    transport, protocol = await over(loop, Flow, ours)
    fill(transport, b"waits")
    for _ in range(3):
        transport.sendto(b"waits too")
    theirs.close()
    failed_in_turn = []
    while len(protocol.errors) < 4:
        before = len(protocol.errors)
        await asyncio.sleep(0)
        failed_in_turn.append(len(protocol.errors) - before)
    assert [count for count in failed_in_turn if count] == [1, 1, 1, 1]
    await protocol.close()


async def test_what_waits_is_a_copy(loop: AbstractEventLoop, unix: Pair) -> None:
    ours, theirs = unix

    transport, protocol = await over(loop, Flow, ours)
    data = bytearray(b"first")
    fill(transport, data)
    data[:] = b"other"
    seen: set[bytes] = set()
    transport.close()
    while not protocol.is_lost:
        seen |= set(receive_all(theirs))
        await asyncio.sleep(0)
    assert seen | set(receive_all(theirs)) == {b"first"}


@pytest.mark.ours_only
async def test_datagrams_are_counted_and_their_errors_are_not(
    loop: AbstractEventLoop, closed_udp_port: tuple[str, int]
) -> None:
    """The controller treats kernel errors as a reason to switch the engine."""

    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, remote_addr=closed_udp_port
    )
    before = loop.stats()  # type: ignore[attr-defined]
    transport.sendto(b"anybody?")
    await protocol.until(lambda: protocol.errors)
    transport.sendto(bytes(70_000))
    assert len(protocol.errors) == 2
    after = loop.stats()  # type: ignore[attr-defined]
    assert after.errors == before.errors
    assert after.bytes_out == before.bytes_out + len(b"anybody?")
    assert after.sends == before.sends + 2
    assert after.connections == 0
    await protocol.close()


# -- closing ------------------------------------------------------------------


async def test_the_port_is_free_when_connection_lost_is_called(
    loop: AbstractEventLoop,
) -> None:
    class BindsAgain(Datagrams):
        bound = False

        def connection_lost(self, exc: BaseException | None) -> None:
            loop.call_soon(self.bind_again, self.transport.get_extra_info("sockname"))

        def bind_again(self, name: tuple[str, int]) -> None:
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                sock.bind(name)
            self.bound = True
            self.changed()

    transport, protocol = await loop.create_datagram_endpoint(
        BindsAgain, local_addr=("127.0.0.1", 0)
    )
    transport.close()
    await protocol.until(lambda: protocol.bound)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_an_endpoint_left_open_warns_once_the_loop_is_closed(
    loop_factory: LoopFactory,
) -> None:
    loop = loop_factory()

    async def main() -> asyncio.BaseTransport:
        transport, _ = await loop.create_datagram_endpoint(
            Datagrams, local_addr=("127.0.0.1", 0)
        )
        transport.sendto(b"never read", transport.get_extra_info("sockname"))
        return transport

    transport = loop.run_until_complete(main())
    sock = transport.get_extra_info("socket")
    loop.close()
    with pytest.warns(ResourceWarning, match=r"^unclosed transport <\w+ fd=\d+>$"):
        del transport
        gc.collect()
    assert sock.fileno() == -1

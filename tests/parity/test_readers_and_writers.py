"""add_reader and add_writer: level-triggered, one callback of each kind per fd."""

import asyncio
import os
import socket
from asyncio import AbstractEventLoop
from collections.abc import Iterator

import pytest
from loops import run_iterations

from .peers import Wire, a_round_trip_elsewhere, connected
from .protocols import Recorder
from .test_flow_control import fill

Pair = tuple[socket.socket, socket.socket]


def note(noticed: "asyncio.Future[None]") -> None:
    if not noticed.done():
        noticed.set_result(None)


@pytest.fixture
def pair(nothing_is_left: None) -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


async def test_a_reader_is_called_when_there_is_something_to_read(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    got: asyncio.Future[tuple[bytes, str]] = loop.create_future()

    def readable(argument: str) -> None:
        loop.remove_reader(ours)
        got.set_result((ours.recv(100), argument))

    loop.add_reader(ours, readable, "argument")
    await a_round_trip_elsewhere()
    assert not got.done()
    theirs.send(b"words")
    assert await got == (b"words", "argument")


async def test_a_reader_is_called_again_while_something_is_left_to_read(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    got = bytearray()
    done = loop.create_future()

    def readable() -> None:
        got.extend(ours.recv(1))
        if len(got) == 5:
            done.set_result(None)

    loop.add_reader(ours, readable)
    theirs.send(b"words")
    await done
    assert got == b"words"
    loop.remove_reader(ours)


async def test_a_reader_that_reads_nothing_is_called_in_each_iteration(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    calls = 0
    done = loop.create_future()

    def readable() -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            loop.remove_reader(ours)
            done.set_result(None)

    theirs.send(b"x")
    loop.add_reader(ours, readable)
    await done


async def test_bytes_that_came_before_add_reader_are_noticed(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    for _ in range(5):
        theirs.send(b"x")
        noticed = loop.create_future()
        loop.add_reader(ours, noticed.set_result, None)
        await noticed
        loop.remove_reader(ours)
        ours.recv(1)


async def test_a_writer_is_called_while_there_is_room(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    sent = 0
    full = loop.create_future()

    def writable() -> None:
        nonlocal sent
        try:
            sent += ours.send(bytes(10_000))
        except BlockingIOError:
            if not full.done():
                full.set_result(None)

    loop.add_writer(ours, writable)
    # Once the socket is full the writer is no longer called, so fill it here.
    while not full.done():
        await asyncio.sleep(0)
        writable()
    before = sent
    await a_round_trip_elsewhere()
    assert sent == before
    got = 0
    while got < before:
        got += len(theirs.recv(1 << 20))
    while sent == before:
        await asyncio.sleep(0)
    loop.remove_writer(ours)


async def test_reader_and_writer_of_one_descriptor_are_independent(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    read, written = loop.create_future(), loop.create_future()

    def readable() -> None:
        loop.remove_reader(ours)
        read.set_result(ours.recv(10))

    def writable() -> None:
        loop.remove_writer(ours)
        written.set_result(None)

    loop.add_reader(ours, readable)
    loop.add_writer(ours, writable)
    await written
    assert not read.done()
    theirs.send(b"x")
    assert await read == b"x"

    again = loop.create_future()
    loop.add_reader(ours, lambda: None)
    loop.add_writer(ours, note, again)
    assert loop.remove_reader(ours)
    await again
    assert loop.remove_writer(ours)


def test_removing_tells_whether_there_was_one(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, _ = pair
    assert loop.remove_reader(ours) is False
    assert loop.remove_writer(ours) is False
    loop.add_reader(ours, print)
    assert loop.remove_writer(ours) is False
    assert loop.remove_reader(ours) is True
    assert loop.remove_reader(ours) is False
    loop.add_writer(ours, print)
    assert loop.remove_reader(ours) is False
    assert loop.remove_writer(ours) is True
    assert loop.remove_writer(ours) is False


async def test_a_second_reader_replaces_the_first(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    called: list[str] = []
    done = loop.create_future()

    def second() -> None:
        ours.recv(10)
        called.append("second")
        done.set_result(None)

    loop.add_reader(ours, called.append, "first")
    loop.add_reader(ours, second)
    theirs.send(b"x")
    await done
    assert called == ["second"]
    assert loop.remove_reader(ours) is True
    assert loop.remove_reader(ours) is False


async def test_a_reader_replaced_in_the_iteration_it_is_due_is_not_called(
    loop: AbstractEventLoop,
) -> None:
    """Both are due: whichever runs first replaces the other."""

    pairs = [socket.socketpair() for _ in range(2)]
    called: list[str] = []
    done = loop.create_future()

    def readable(number: int) -> None:
        called.append("original")
        other = pairs[1 - number][0]
        loop.add_reader(other, replaced, number)
        loop.remove_reader(pairs[number][0])

    def replaced(number: int) -> None:
        called.append("replacement")
        loop.remove_reader(pairs[1 - number][0])
        done.set_result(None)

    for number, (ours, theirs) in enumerate(pairs):
        theirs.send(b"x")
        loop.add_reader(ours, readable, number)
    await done
    assert called == ["original", "replacement"]
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


async def test_a_reader_removed_in_the_iteration_it_is_due_is_not_called(
    loop: AbstractEventLoop,
) -> None:
    pairs = [socket.socketpair() for _ in range(10)]
    called: list[int] = []

    def readable(number: int) -> None:
        called.append(number)
        for ours, _ in pairs:
            loop.remove_reader(ours)

    for number, (ours, theirs) in enumerate(pairs):
        theirs.send(b"x")
        loop.add_reader(ours, readable, number)
    await a_round_trip_elsewhere()
    assert len(called) == 1
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


@pytest.mark.parametrize("first", ["reader", "writer"])
async def test_a_descriptors_reader_runs_before_its_writer(
    loop: AbstractEventLoop, pair: Pair, first: str
) -> None:
    ours, theirs = pair

    ran: list[str] = []
    theirs.send(b"x")
    if first == "reader":
        loop.add_reader(ours, ran.append, "reader")
        loop.add_writer(ours, ran.append, "writer")
    else:
        loop.add_writer(ours, ran.append, "writer")
        loop.add_reader(ours, ran.append, "reader")
    while len(ran) < 4:
        await asyncio.sleep(0)
    loop.remove_reader(ours)
    loop.remove_writer(ours)
    assert ran[:4] == ["reader", "writer"] * 2


async def test_a_reader_can_remove_the_writer_that_is_next(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    ran: list[str] = []

    def read() -> None:
        ran.append("reader")
        loop.remove_writer(ours)

    theirs.send(b"x")
    loop.add_writer(ours, ran.append, "writer")
    loop.add_reader(ours, read)
    while len(ran) < 2:
        await asyncio.sleep(0)
    loop.remove_reader(ours)
    assert ran == ["reader"] * 2


async def test_a_reader_can_close_its_own_descriptor(loop: AbstractEventLoop) -> None:
    ours, theirs = socket.socketpair()
    done = loop.create_future()

    def readable() -> None:
        loop.remove_reader(ours)
        ours.close()
        done.set_result(None)

    loop.add_reader(ours, readable)
    theirs.close()
    await done


async def test_a_descriptor_number_that_is_used_again_starts_afresh(
    loop: AbstractEventLoop,
) -> None:
    """The kernel gives the lowest free number to the next descriptor."""

    for _ in range(20):
        called: list[str] = []
        ours, theirs = socket.socketpair()
        number = ours.fileno()
        theirs.send(b"x")
        loop.add_reader(ours, called.append, "old")
        loop.remove_reader(ours)
        ours.close()
        theirs.close()

        ours, theirs = socket.socketpair()
        assert ours.fileno() == number
        await a_round_trip_elsewhere()
        noticed = loop.create_future()
        loop.add_reader(ours, note, noticed)
        await a_round_trip_elsewhere()
        assert not noticed.done()
        theirs.send(b"x")
        await noticed
        assert called == []
        loop.remove_reader(ours)
        ours.close()
        theirs.close()


async def test_a_descriptor_can_be_watched_again_after_idle_iterations(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    for number in range(20):
        noticed = loop.create_future()

        def readable(noticed: asyncio.Future[None] = noticed) -> None:
            ours.recv(100)
            loop.remove_reader(ours)
            noticed.set_result(None)

        loop.add_reader(ours, readable)
        if number % 2:
            await asyncio.sleep(0)
        theirs.send(b"x")
        await noticed


async def test_the_peers_end_makes_a_descriptor_readable(
    loop: AbstractEventLoop,
) -> None:
    ours, theirs = socket.socketpair()
    noticed = loop.create_future()
    loop.add_reader(ours, note, noticed)
    theirs.close()
    await noticed
    loop.remove_reader(ours)
    assert ours.recv(1) == b""
    ours.close()


async def test_a_broken_pipe_calls_its_writer(loop: AbstractEventLoop) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, bytes(65536))
    except BlockingIOError:
        pass
    noticed = loop.create_future()
    loop.add_writer(write_end, note, noticed)
    await a_round_trip_elsewhere()
    assert not noticed.done()
    os.close(read_end)
    await noticed
    loop.remove_writer(write_end)
    os.close(write_end)


def test_numbers_and_objects_with_fileno_are_the_same_descriptor(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, _ = pair
    loop.add_reader(ours.fileno(), print)
    assert loop.remove_reader(ours) is True
    loop.add_writer(ours, print)
    assert loop.remove_writer(ours.fileno()) is True


def test_a_loop_can_be_closed_with_readers_and_writers_left(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair
    loop.add_reader(ours, print)
    loop.add_writer(theirs, loop.stop)
    loop.run_forever()
    loop.close()


async def test_a_failing_reader_is_reported_and_stays(
    loop: AbstractEventLoop, pair: Pair, reported: list[dict[str, object]]
) -> None:
    ours, theirs = pair

    got = loop.create_future()

    def readable() -> None:
        data = ours.recv(1)
        if data == b"a":
            raise ValueError
        got.set_result(data)

    loop.add_reader(ours, readable)
    theirs.send(b"ab")
    assert await got == b"b"
    loop.remove_reader(ours)
    context = reported.pop()
    assert str(context["message"]).startswith("Exception in callback ")
    assert isinstance(context["exception"], ValueError)


@pytest.mark.closes_what_is_watched
async def test_the_peer_sees_the_end_of_a_socket_that_was_closed_while_watched(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    """Watching a descriptor does not hold its file open."""
    ours, theirs = pair
    fd = ours.fileno()

    loop.add_reader(ours, print, "a reader of what is closed")
    receiving = asyncio.ensure_future(loop.sock_recv(theirs, 10))
    await a_round_trip_elsewhere()
    ours.close()
    assert await receiving == b""
    loop.remove_reader(fd)


@pytest.mark.closes_what_is_watched
async def test_the_port_of_a_listener_that_was_closed_while_accepting_is_free(
    loop: AbstractEventLoop,
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    accepting = asyncio.ensure_future(loop.sock_accept(listener))
    await a_round_trip_elsewhere()
    address = listener.getsockname()
    listener.close()
    with socket.create_server(address):
        pass
    accepting.cancel()
    await asyncio.wait([accepting])


async def test_the_socket_of_a_transport_that_closes_can_be_read_while_that_still_sends(
    loop: AbstractEventLoop, wire: Wire
) -> None:
    """A closing transport no longer reads, so asyncio lets others read.

    Both then watch one descriptor, the transport for room; neither disturbs the other.
    """

    async with connected(Recorder, wire) as (protocol, peer):
        written = fill(protocol.transport, protocol)
        sock = protocol.transport.get_extra_info("socket")
        with socket.socket(fileno=os.dup(sock.fileno())) as reading:
            protocol.transport.close()
            got: list[bytes] = []
            all_there = loop.create_future()

            def readable() -> None:
                got.append(reading.recv(2))
                if b"".join(got) == b"four more":
                    note(all_there)

            loop.add_reader(sock.fileno(), readable)
            peer.send(b"four ")
            await a_round_trip_elsewhere()
            peer.send(b"more")
            await all_there
            assert loop.remove_reader(sock.fileno())
            assert not loop.remove_reader(sock.fileno())
        assert await peer.recv_exactly(len(written)) == written
        await protocol.lost()


def test_a_writer_that_the_reader_adds_waits_for_the_next_report(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    """The peer is gone, which wakes both."""
    ours, theirs = pair
    seen: list[str] = []

    def reader() -> None:
        seen.append("reader")
        loop.add_writer(ours, seen.append, "writer")
        loop.remove_reader(ours)
        loop.add_reader(ours, second_reader)

    def second_reader() -> None:
        seen.append("second reader")
        loop.remove_reader(ours)
        loop.remove_writer(ours)

    loop.add_reader(ours, reader)
    theirs.close()
    run_iterations(loop, 3)

    assert seen == ["reader", "second reader"]


def test_a_reader_that_replaces_a_reported_one_waits_for_the_next_report(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    """The callback that replaces it was ready when the kernel was asked."""
    ours, theirs = pair
    seen: list[str] = []
    loop.add_reader(ours, seen.append, "reported")
    loop.call_soon(loop.add_reader, ours, seen.append, "new")
    theirs.send(b"x")
    loop.call_soon(loop.call_soon, seen.append, "next iteration")
    run_iterations(loop, 2)
    loop.remove_reader(ours)
    assert seen == ["next iteration", "new"]


def test_a_reader_added_by_what_was_ready_waits_for_the_next_report(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    """Another descriptor is reported in this iteration."""
    ours, theirs = pair
    seen: list[str] = []
    first, second = socket.socketpair()
    with first, second:
        loop.add_writer(first, seen.append, "writer")
        theirs.send(b"x")
        loop.call_soon(loop.add_reader, ours, seen.append, "reader")
        run_iterations(loop)
        assert seen == ["writer"]
        run_iterations(loop)
        assert sorted(seen) == ["reader", "writer", "writer"]
        loop.remove_writer(first)
        loop.remove_reader(ours)

"""loop.sock_* calls that wait: clean-up, refusals, and several on one socket."""

import array
import asyncio
import socket
import ssl
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from loops import Run

from .test_datagram_flow import Pair as Datagrams
from .test_datagram_flow import receive_all, unix
from .test_readers_and_writers import Pair, pair

__all__ = ["pair", "unix"]

Call = Callable[[AbstractEventLoop, socket.socket], Coroutine[Any, Any, Any]]

READS: dict[str, Call] = {
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 100),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(100)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 100),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(
        sock, bytearray(100)
    ),
}
EVERY: dict[str, Call] = {
    **READS,
    "sock_sendall": lambda loop, sock: loop.sock_sendall(sock, b"x"),
    "sock_sendto": lambda loop, sock: loop.sock_sendto(sock, b"x", ("127.0.0.1", 9)),
    "sock_accept": lambda loop, sock: loop.sock_accept(sock),
    "sock_connect": lambda loop, sock: loop.sock_connect(sock, ("127.0.0.1", 9)),
}


@pytest.mark.parametrize("call", EVERY)
def test_debug_mode_refuses_a_blocking_socket(
    loop: AbstractEventLoop, run: Run, call: str
) -> None:
    loop.set_debug(True)

    async def main() -> None:
        with socket.socket() as sock:
            for timeout in (None, 1.0):
                sock.settimeout(timeout)
                with pytest.raises(ValueError, match="the socket must be non-blocking"):
                    await EVERY[call](loop, sock)

    run(main())


@pytest.mark.parametrize("call", EVERY)
async def test_a_tls_socket_is_refused(loop: AbstractEventLoop, call: str) -> None:
    context = ssl.create_default_context()
    with (
        socket.socket() as plain,
        context.wrap_socket(plain, server_hostname="a") as sock,
    ):
        sock.setblocking(False)
        with pytest.raises(TypeError, match="cannot be of type SSLSocket"):
            await EVERY[call](loop, sock)


@pytest.mark.parametrize("call", EVERY)
async def test_a_closed_socket_is_an_error_at_once(
    loop: AbstractEventLoop, call: str
) -> None:
    sock = socket.socket()
    sock.setblocking(False)
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        await EVERY[call](loop, sock)


@pytest.mark.parametrize("call", READS)
def test_a_transports_socket_cannot_be_waited_for(
    loop: AbstractEventLoop, run: Run, pair: Pair, call: str
) -> None:
    ours, _ = pair

    async def main() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await READS[call](loop, ours)
        transport.abort()
        await asyncio.sleep(0)

    run(main())


@pytest.mark.parametrize("call", READS)
async def test_a_cancelled_read_leaves_no_watcher_and_takes_nothing(
    loop: AbstractEventLoop, pair: Pair, call: str
) -> None:
    ours, theirs = pair

    reading = asyncio.ensure_future(READS[call](loop, ours))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert loop.remove_reader(ours) is False
    theirs.send(b"words")
    assert ours.recv(100) == b"words"


@pytest.mark.parametrize("call", READS)
async def test_a_read_cancelled_when_there_is_something_to_read_takes_nothing(
    loop: AbstractEventLoop, pair: Pair, call: str
) -> None:
    """It is cancelled in the iteration that found its socket ready."""
    ours, theirs = pair

    reading = asyncio.ensure_future(READS[call](loop, ours))
    await asyncio.sleep(0)
    theirs.send(b"words")
    loop.call_soon(reading.cancel)
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert ours.recv(100) == b"words"


@pytest.mark.parametrize("call", READS)
async def test_a_read_that_is_done_leaves_no_watcher(
    loop: AbstractEventLoop, pair: Pair, call: str
) -> None:
    ours, theirs = pair

    reading = asyncio.ensure_future(READS[call](loop, ours))
    await asyncio.sleep(0)
    theirs.send(b"words")
    result = await reading
    assert b"words" in (result, result[0]) if call[-4:] != "into" else True
    assert loop.remove_reader(ours) is False


async def test_recvfrom_into_fills_a_part_of_a_buffer(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    buffer = bytearray(10)
    reading = asyncio.ensure_future(loop.sock_recvfrom_into(ours, buffer, 3))
    await asyncio.sleep(0)
    theirs.send(b"words")
    count, _ = await reading
    assert (count, bytes(buffer[:4])) == (3, b"wor\0")
    count, _ = await loop.sock_recvfrom_into(ours, buffer)
    assert (count, bytes(buffer[:3])) == (2, b"dsr")


async def test_a_socket_is_read_and_written_at_the_same_time(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    reading = asyncio.ensure_future(loop.sock_recv(ours, 100))
    writing = asyncio.ensure_future(loop.sock_sendall(ours, bytes(8 << 20)))
    await asyncio.sleep(0)
    theirs.send(b"words")
    assert await reading == b"words"
    assert not writing.done()
    received = 0
    while received < 8 << 20:
        received += len(await loop.sock_recv(theirs, 1 << 20))
    await writing
    assert loop.remove_writer(ours) is False


async def test_sendto_waits_for_room(loop: AbstractEventLoop, unix: Datagrams) -> None:
    ours, theirs = unix

    sent = 0
    while True:
        sending = asyncio.ensure_future(
            loop.sock_sendto(ours, b"%d" % sent, theirs.getsockname())
        )
        await asyncio.sleep(0)
        sent += 1
        if not sending.done():
            break
    received = receive_all(theirs)
    assert await sending == len(b"%d" % (sent - 1))
    received += receive_all(theirs)
    assert received == [b"%d" % number for number in range(sent)]
    assert loop.remove_writer(ours) is False


async def test_a_later_read_takes_the_place_of_an_earlier_one(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    """As in asyncio, the first waits until it is cancelled."""
    ours, theirs = pair

    first = asyncio.ensure_future(loop.sock_recv(ours, 100))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(loop.sock_recv(ours, 100))
    await asyncio.sleep(0)
    theirs.send(b"words")
    assert await second == b"words"
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    # The cancelled first one does not disturb a third.
    third = asyncio.ensure_future(loop.sock_recv(ours, 100))
    await asyncio.sleep(0)
    theirs.send(b"more")
    assert await third == b"more"


async def test_a_reader_can_be_added_after_a_wait_and_the_other_way_round(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    for number in range(3):
        reading = asyncio.ensure_future(loop.sock_recv(ours, 100))
        await asyncio.sleep(0)
        theirs.send(b"%d" % number)
        assert await reading == b"%d" % number
        called = loop.create_future()
        loop.add_reader(ours, called.set_result, None)
        theirs.send(b"x")
        await called
        assert loop.remove_reader(ours) is True
        assert ours.recv(100) == b"x"


async def test_a_number_that_another_socket_has_got_is_waited_for_anew(
    loop: AbstractEventLoop,
) -> None:
    """Closed and reopened in one iteration: same descriptor number, another socket."""

    numbers = set()
    for number in range(20):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        numbers.add(ours.fileno())
        reading = asyncio.ensure_future(loop.sock_recv(ours, 100))
        await asyncio.sleep(0)
        theirs.send(b"%d" % number)
        assert await reading == b"%d" % number
        ours.close()
        theirs.close()
    assert len(numbers) < 20


@pytest.mark.ours_only
async def test_sendall_counts_bytes_whatever_the_items(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    """asyncio counts items instead of bytes, and never finishes."""
    ours, theirs = pair

    for count in (3, 1 << 20):
        data = array.array("I", range(count))
        sending = asyncio.ensure_future(loop.sock_sendall(ours, data))
        received = b""
        while len(received) < 4 * count:
            received += await loop.sock_recv(theirs, 1 << 20)
        await sending
        assert received == data.tobytes()

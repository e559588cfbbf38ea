"""Buffers of wide items, of several dimensions, with gaps, and with nothing in them."""

import array
import asyncio
import ctypes
import socket
from asyncio import AbstractEventLoop
from typing import Any

import pytest

from .peers import Wire, connected
from .protocols import Recorder, _Recording

NUMBERS = array.array("i", range(1000))

WHOLE: dict[str, Any] = {
    "array of ints": NUMBERS,
    "view of ints": memoryview(NUMBERS),
    "view of two dimensions": memoryview(NUMBERS).cast("B").cast("i", (10, 100)),
    "view of no dimension": memoryview(ctypes.c_int(7)),
    "no ints": array.array("i"),
    "items without bytes": (ctypes.c_char * 0 * 4)(),
}


class Sends(socket.socket):
    """Has room for *room_bytes*, then for none until it has been waited for."""

    room_bytes = 0

    def send(self, data: Any, flags: int = 0) -> int:
        if not self.room_bytes:
            self.room_bytes = 1 << 30
            raise BlockingIOError
        part = memoryview(data).cast("B")[: self.room_bytes]
        self.room_bytes -= len(part)
        return super().send(part, flags)


@pytest.mark.ours_only
@pytest.mark.parametrize("name", WHOLE)
async def test_sock_sendall_sends_each_byte_of_any_buffer(
    loop: AbstractEventLoop, name: str
) -> None:
    """asyncio compares what was sent, in bytes, with the number of items."""
    data = WHOLE[name]
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    with ours, peer:
        await loop.sock_sendall(ours, data)
        ours.shutdown(socket.SHUT_WR)
        assert peer.recv(10_000) == bytes(data)


@pytest.mark.ours_only
@pytest.mark.parametrize("room_bytes", [0, 1, len(NUMBERS), 3999])
async def test_sock_sendall_goes_on_where_the_socket_became_full(
    loop: AbstractEventLoop, room_bytes: int
) -> None:
    """Also if it takes as many bytes as the buffer has items."""
    ours, peer = socket.socketpair()
    with Sends(fileno=ours.detach()) as sends, peer:
        sends.setblocking(False)
        sends.room_bytes = room_bytes
        await loop.sock_sendall(sends, NUMBERS)
        sends.shutdown(socket.SHUT_WR)
        assert peer.recv(10_000) == NUMBERS.tobytes()


async def test_sock_sendall_refuses_what_is_not_contiguous(
    loop: AbstractEventLoop,
) -> None:
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    with ours, peer:
        with pytest.raises(BufferError, match="not C-contiguous"):
            await loop.sock_sendall(ours, memoryview(b"abcd")[::2])
        with pytest.raises(BlockingIOError):
            peer.recv(10)


async def test_a_transport_writes_each_byte_of_wide_items(
    loop: AbstractEventLoop, wire: Wire
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(memoryview(NUMBERS))
        assert await peer.recv_exactly(4000) == NUMBERS.tobytes()


@pytest.mark.ours_only
async def test_a_transport_writes_each_byte_of_several_buffers(
    loop: AbstractEventLoop, wire: Wire
) -> None:
    """Since 3.12 asyncio counts items for bytes here too."""
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.writelines([b"<", memoryview(NUMBERS), b">"])
        sent = b"<" + NUMBERS.tobytes() + b">"
        assert await peer.recv_exactly(len(sent)) == sent


@pytest.mark.ours_only
async def test_a_transport_writes_more_wide_items_than_the_socket_takes(
    loop: AbstractEventLoop, wire: Wire
) -> None:
    """asyncio drops as many items as the socket has taken bytes."""
    many = array.array("q", range(500_000))
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(memoryview(many))
        sent = many.tobytes()
        assert await peer.recv_exactly(len(sent)) == sent


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("name", ["view of ints", "view of two dimensions"])
async def test_a_datagram_has_each_byte_of_wide_items(
    loop: AbstractEventLoop, name: str, host: str
) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.setblocking(False)
        peer.bind(("127.0.0.1", 0))
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        transport.sendto(WHOLE[name], (host, peer.getsockname()[1]))
        assert await loop.sock_recv(peer, 65536) == WHOLE[name].tobytes()
        transport.close()


@pytest.mark.ours_only
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_bytes_of_a_datagram_are_counted(
    loop: AbstractEventLoop, host: str
) -> None:
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    transport.sendto(WHOLE["view of ints"], (host, 9))
    assert loop.stats().bytes_out == 4000  # type: ignore[attr-defined]
    transport.close()


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(
    ("buffer", "size"),
    [
        (array.array("i", [0] * 10), 40),
        (memoryview(bytearray(20)).cast("B", (10, 2)), 20),
        (memoryview(ctypes.c_int(0)), 4),
    ],
    ids=["ints", "two dimensions", "no dimension"],
)
async def test_sock_recv_into_fills_each_byte(
    loop: AbstractEventLoop, buffer: Any, size: int, late: bool
) -> None:
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    sent = bytes(range(50))
    with ours, peer:
        if not late:
            peer.send(sent)
        receiving = asyncio.ensure_future(loop.sock_recv_into(ours, buffer))
        await asyncio.sleep(0)
        if late:
            peer.send(sent)
        assert await receiving == size
        assert memoryview(buffer).tobytes() == sent[:size]


class Gives(_Recording, asyncio.BufferedProtocol):
    """Always gives the same buffer."""

    def __init__(self, buffer: Any) -> None:
        super().__init__()
        self.buffer = buffer

    def get_buffer(self, sizehint: int) -> Any:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += memoryview(self.buffer).tobytes()[:nbytes]
        self.changed()


@pytest.mark.parametrize(
    "buffer",
    [array.array("i", [0] * 10), memoryview(bytearray(21)).cast("B", (7, 3))],
    ids=["ints", "two dimensions"],
)
async def test_a_protocols_buffer_may_have_wide_items(
    loop: AbstractEventLoop, wire: Wire, buffer: Any
) -> None:
    sent = bytes(range(100))
    async with connected(lambda: Gives(buffer), wire) as (protocol, peer):
        peer.send(sent)
        assert await protocol.got(len(sent)) == sent


@pytest.mark.parametrize(
    "buffer",
    [b"read-only", memoryview(b"read-only"), memoryview(bytearray(9))[::2], ["a list"]],
    ids=["bytes", "read-only", "gaps", "list"],
)
async def test_what_cannot_be_received_into_ends_the_connection(
    loop: AbstractEventLoop, wire: Wire, buffer: Any, reported: list[dict[str, object]]
) -> None:
    async with connected(lambda: Gives(buffer), wire) as (protocol, peer):
        peer.send(b"x")
        lost = await protocol.lost()
        assert isinstance(lost, TypeError)
        assert str(lost) == (
            "recv_into() argument 1 must be read-write bytes-like object, "
            f"not {type(buffer).__name__}"
        )
    context = reported.pop()
    assert context["message"] == "Fatal read error on socket transport"
    assert context["exception"] is lost


async def test_a_buffer_whose_items_have_no_bytes_receives_the_end(
    loop: AbstractEventLoop, wire: Wire
) -> None:
    """recv(2) of nothing gives 0; over io_uring the loop copied nothing for ever."""
    buffer = (ctypes.c_char * 0 * 4)()
    async with connected(lambda: Gives(buffer), wire) as (protocol, peer):
        peer.send(b"x")
        assert await protocol.lost() is None
    assert protocol.calls[-2:] == ["eof_received", "connection_lost"]

"""loop.sendfile over a transport: by the kernel if possible, otherwise by reading."""

import asyncio
import fcntl
import io
import socket
import ssl
import struct
import tempfile
import termios
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from .peers import Wire, connected, pattern, serving
from .protocols import Recorder

DATA = pattern(2 * 1024 * 1024)


@pytest.fixture
def file(nothing_is_left: None) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.seek(0)
        yield file


@pytest.mark.parametrize(("offset", "count"), [(0, None), (7, None), (7, 70_000)])
async def test_a_file_or_a_part_of_it_is_sent_between_two_writes(
    loop: AbstractEventLoop, wire: Wire, file: BinaryIO, offset: int, count: int | None
) -> None:
    wanted = DATA[offset:] if count is None else DATA[offset : offset + count]
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(b"head")
        sending = asyncio.ensure_future(
            loop.sendfile(protocol.transport, file, offset, count)
        )
        got, sent = await asyncio.gather(peer.recv_exactly(4 + len(wanted)), sending)
        assert got == b"head" + wanted
        assert sent == len(wanted)
        assert file.tell() == offset + len(wanted)
        protocol.transport.write(b"tail")
        assert await peer.recv_exactly(4) == b"tail"
        peer.send(b"still heard")
        assert await protocol.got(11) == b"still heard"


async def test_a_file_is_sent_after_what_was_waiting_for_room(
    loop: AbstractEventLoop, wire: Wire, file: BinaryIO
) -> None:
    head = pattern(8 * 1024 * 1024)
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(head)
        assert protocol.transport.get_write_buffer_size()
        sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
        assert await peer.recv_exactly(len(head) + len(DATA)) == head + DATA
        assert await sending == len(DATA)
        protocol.transport.write(b"tail")
        assert await peer.recv_exactly(4) == b"tail"


async def test_a_file_is_sent_over_tls_by_reading_it(
    loop: AbstractEventLoop,
    file: BinaryIO,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    server_side = Recorder()
    async with serving(lambda: server_side, ssl=server_context) as place:
        transport, client = await place.connect_tls(client_context)
        server_transport = await server_side.made()
        assert await loop.sendfile(server_transport, file) == len(DATA)
        assert await client.got(len(DATA)) == DATA
        with pytest.raises(RuntimeError, match="fallback"):
            await loop.sendfile(server_transport, file, fallback=False)
        transport.close()
        await client.lost()
        await server_side.lost()


async def test_a_file_that_is_read_waits_for_room(
    loop: AbstractEventLoop, wire: Wire
) -> None:
    """A file object without a descriptor is read only as fast as the peer reads."""

    async with connected(Recorder, wire) as (protocol, peer):
        size = 32 * 1024 * 1024
        sending = asyncio.ensure_future(
            loop.sendfile(protocol.transport, io.BytesIO(bytes(size)))
        )
        while not protocol.transport.get_write_buffer_size():
            await asyncio.sleep(0)
        await until_the_socket_is_full(protocol)
        assert protocol.transport.get_write_buffer_size() < 1024 * 1024
        assert len(await peer.recv_exactly(size)) == size
        assert await sending == size


async def test_a_protocol_can_read_on_while_its_file_is_sent(
    loop: AbstractEventLoop, wire: Wire, file: BinaryIO
) -> None:
    """HTTP servers do this to read the rest of a request meanwhile."""

    async with connected(Recorder, wire) as (protocol, peer):
        size = file.truncate(16 * 1024 * 1024)
        sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
        await until_the_socket_is_full(protocol)
        protocol.transport.resume_reading()
        peer.send(b"the rest")
        assert await protocol.got(8) == b"the rest"
        protocol.transport.pause_reading()
        peer.send(b"and more")
        assert len(await peer.recv_exactly(size)) == size
        assert await sending == size
        assert await protocol.got(16) == b"the restand more"


@pytest.mark.ours_only
async def test_a_transport_aborted_while_its_file_is_sent_gives_up_the_connection(
    loop: AbstractEventLoop, wire: Wire, file: BinaryIO
) -> None:
    """asyncio reports an InvalidStateError here.  On every loop, the task that awaits
    sendfile waits until it is cancelled; the peer sees the end before that."""

    async with connected(Recorder, wire) as (protocol, peer):
        file.truncate(16 * 1024 * 1024)
        sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
        await until_the_socket_is_full(protocol)
        protocol.transport.abort()
        await protocol.lost()
        while await peer.recv(1 << 20):
            pass
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


async def until_the_socket_is_full(protocol: Recorder) -> None:
    """The peer reads nothing; wait until no more bytes leave."""
    sock = protocol.transport.get_extra_info("socket")
    before = -1
    while before != (now := unsent(sock)):
        before = now
        for _ in range(10):
            await asyncio.sleep(0)


def unsent(sock: socket.socket) -> int:
    (count,) = struct.unpack(
        "i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    )
    return int(count)


async def test_a_transport_that_closes_is_refused(
    loop: AbstractEventLoop, file: BinaryIO
) -> None:
    async with connected(Recorder) as (protocol, _):
        protocol.transport.close()
        with pytest.raises(RuntimeError, match="closing"):
            await loop.sendfile(protocol.transport, file)


async def test_a_peer_that_leaves_while_a_file_is_sent_is_an_error(
    loop: AbstractEventLoop, file: BinaryIO
) -> None:
    async with connected(Recorder) as (protocol, peer):
        file.truncate(100 * 1024 * 1024)
        sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
        await asyncio.wait(
            [sending, asyncio.ensure_future(peer.recv_exactly(100_000))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        peer.reset()
        with pytest.raises(ConnectionError):
            await sending


@pytest.mark.ours_only
async def test_a_connection_that_is_lost_before_the_file_begins_is_an_error(
    loop: AbstractEventLoop, file: BinaryIO
) -> None:
    """The file waits for earlier writes, which the peer never reads."""

    async with connected(Recorder) as (protocol, _):
        protocol.transport.write(bytes(16 * 1024 * 1024))
        assert protocol.transport.get_write_buffer_size() > 0
        sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
        await asyncio.sleep(0)
        protocol.transport.abort()
        with pytest.raises(ConnectionError):
            await sending


@pytest.mark.ours_only
async def test_a_transport_closed_while_its_file_waits_sends_nothing_of_it(
    loop: AbstractEventLoop, file: BinaryIO
) -> None:
    """asyncio's fails with an AttributeError, which also ends the loop's run."""

    async with connected(Recorder) as (protocol, peer):
        written = 8 * DATA
        protocol.transport.write(written)
        assert protocol.transport.get_write_buffer_size() > 0
        sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
        await asyncio.sleep(0)
        protocol.transport.close()
        assert await peer.recv_to_end() == written
        with pytest.raises(ConnectionError, match="was closed before the file"):
            await sending

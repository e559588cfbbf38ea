"""Bytes echoed through transports arrive complete and in order."""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable

import pytest

from .peers import Peer, Wire, connected, connecting, pattern, serving
from .protocols import BufferedEcho, BufferedRecorder, Echo, Recorder

KIB = 1024
MIB = 1024 * KIB

SIZES = [1, 2, 100, 4095, 4096, 4097, 64 * KIB, 256 * KIB - 1, 256 * KIB + 1, MIB]


async def echoed(peer: Peer, data: bytes) -> bytes:
    """Sends and reads at the same time, because no buffer holds all of *data*."""
    sending = asyncio.ensure_future(peer.sendall(data))
    got = await peer.recv_exactly(len(data))
    await sending
    return got


@pytest.mark.parametrize("echo", [Echo, BufferedEcho])
async def test_every_size_comes_back_whole(
    wire: Wire, echo: Callable[[], Echo | BufferedEcho]
) -> None:
    async with connected(echo, wire) as (_, peer):
        for size in SIZES:
            data = pattern(size)
            assert await echoed(peer, data) == data


@pytest.mark.parametrize("echo", [Echo, BufferedEcho])
async def test_eight_mebibytes_come_back_whole(
    echo: Callable[[], Echo | BufferedEcho],
) -> None:
    data = pattern(8 * MIB)
    async with connected(echo) as (_, peer):
        assert await echoed(peer, data) == data


async def test_a_client_transport_echoes_too(wire: Wire) -> None:
    data = pattern(MIB)
    async with connecting(Echo, wire) as (_, peer):
        assert await echoed(peer, data) == data


async def test_two_transports_of_one_loop_talk_to_each_other(
    loop: AbstractEventLoop,
) -> None:
    data = pattern(2 * MIB)
    async with serving(Echo) as place:
        transport, client = await loop.create_connection(Recorder, *place.address)
        transport.write(data)
        assert await client.got(len(data)) == data
        transport.close()
        assert await client.lost() is None


async def test_a_thousand_small_messages_one_by_one(wire: Wire) -> None:
    async with connected(Echo, wire) as (_, peer):
        for number in range(1000):
            message = number.to_bytes(8, "big")
            peer.send(message)
            assert await peer.recv_exactly(8) == message


async def test_a_thousand_small_writes_in_one_iteration_arrive_in_order(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        pieces = [number.to_bytes(4, "big") for number in range(1000)]
        for piece in pieces:
            protocol.transport.write(piece)
        assert await peer.recv_exactly(4000) == b"".join(pieces)


async def test_small_and_large_writes_of_one_iteration_keep_their_order(
    wire: Wire,
) -> None:
    """The large ones pass the high-water mark but must not overtake the small ones."""

    pieces = [pattern(size) for size in (10, 300 * KIB, 1, 70 * KIB, 5, 64 * KIB, 3)]
    data = b"".join(pieces)
    async with connected(Recorder, wire) as (protocol, peer):
        for piece in pieces:
            protocol.transport.write(piece)
        assert await peer.recv_exactly(len(data)) == data


async def test_writes_of_many_iterations_keep_their_order_while_the_peer_is_slow(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        data = pattern(4 * MIB)
        for start in range(0, len(data), 100_000):
            protocol.transport.write(data[start : start + 100_000])
            await asyncio.sleep(0)
        assert await peer.recv_exactly(len(data)) == data


async def test_an_empty_write_sends_nothing_and_breaks_nothing(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(b"")
        protocol.transport.writelines([])
        protocol.transport.writelines([b"", b""])
        protocol.transport.write(b"x")
        protocol.transport.write(b"")
        protocol.transport.write(b"y")
        assert await peer.recv_exactly(2) == b"xy"
        assert protocol.transport.get_write_buffer_size() == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_bytes_like_objects_can_be_written(
    wire: Wire, kind: Callable[[bytes], bytes]
) -> None:
    data = pattern(300 * KIB)
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(kind(b"short"))
        protocol.transport.write(kind(data))
        protocol.transport.writelines([kind(b"a"), kind(b"bc"), kind(b"def")])
        assert await peer.recv_exactly(5 + len(data) + 6) == b"short" + data + b"abcdef"


async def test_bytes_subclasses_can_be_written() -> None:
    class Words(bytes):
        pass

    async with connected(Recorder) as (protocol, peer):
        protocol.transport.write(Words(b"words"))
        assert await peer.recv_exactly(5) == b"words"


@pytest.mark.parametrize("wrong", ["text", None, 3, [b"list"]])
async def test_what_is_not_bytes_is_refused(wrong: object) -> None:
    async with connected(Recorder) as (protocol, peer):
        with pytest.raises(TypeError):
            protocol.transport.write(wrong)  # type: ignore[arg-type]
        protocol.transport.write(b"goes on")
        assert await peer.recv_exactly(7) == b"goes on"


async def test_writelines_takes_any_iterable_once(wire: Wire) -> None:
    pieces = [pattern(size) for size in (0, 1, 10, 100_000, 3, 400_000)]
    data = b"".join(pieces)
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(b"<")
        protocol.transport.writelines(pieces)
        protocol.transport.writelines(iter([b">", b"!"]))
        assert await peer.recv_exactly(len(data) + 3) == b"<" + data + b">!"


async def test_writelines_of_more_pieces_than_one_call_of_the_kernel_takes(
    wire: Wire,
) -> None:
    """sendmsg takes at most IOV_MAX (1,024) pieces."""

    pieces = [bytes([number % 251]) * 3 for number in range(5000)]
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.writelines(pieces)
        assert await peer.recv_exactly(15_000) == b"".join(pieces)


async def test_a_buffer_that_changes_after_write_does_not_change_what_is_sent(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        buffer = bytearray(b"first")
        protocol.transport.write(buffer)
        buffer[:] = b"XXXXX"
        buffer[:] = b"again"
        protocol.transport.write(memoryview(buffer)[1:4])
        buffer[:] = b"XXXXX"
        protocol.transport.writelines([buffer[:0], buffer])
        buffer[:] = b"YYYYY"
        buffer += b"may be resized, too"
        assert await peer.recv_exactly(13) == b"firstgaiXXXXX"


@pytest.mark.ours_only
async def test_a_buffer_that_changes_while_it_waits_does_not_change_what_is_sent(
    wire: Wire,
) -> None:
    """Since 3.12 asyncio keeps a view of the caller's own buffer here."""

    async with connected(Recorder, wire) as (protocol, peer):
        data = pattern(4 * MIB)
        buffer = bytearray(data)
        protocol.transport.write(buffer)
        assert protocol.transport.get_write_buffer_size() > 0
        buffer[:] = bytes(len(buffer))
        buffer += b"resized"
        assert await peer.recv_exactly(len(data)) == data


@pytest.mark.parametrize("buffer_size", [1, 7, 4096, MIB])
async def test_a_buffered_protocol_gets_every_byte_whatever_its_buffers_size(
    wire: Wire, buffer_size: int
) -> None:
    data = pattern(min(300 * KIB, buffer_size * 500))
    async with connected(lambda: BufferedRecorder(buffer_size), wire) as (
        protocol,
        peer,
    ):
        sending = asyncio.ensure_future(peer.sendall(data))
        assert await protocol.got(len(data)) == data
        await sending
        peer.finish_sending()
        await protocol.lost()
        assert protocol.calls == [
            "connection_made",
            "buffer_updated",
            "eof_received",
            "connection_lost",
        ]


async def test_a_buffered_protocol_may_give_another_buffer_each_time() -> None:
    class Changes(BufferedRecorder):
        number = 0

        def get_buffer(self, sizehint: int) -> bytearray:
            self.number += 1
            self.buffer = bytearray(1 + self.number % 13)
            return self.buffer

    data = pattern(10_000)
    async with connected(Changes) as (protocol, peer):
        await peer.sendall(data)
        assert await protocol.got(len(data)) == data


async def test_a_buffered_protocol_may_give_a_view_into_something_bigger() -> None:
    class View(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> memoryview:  # type: ignore[override]
            return memoryview(self.buffer)[len(self.received) :]

        def buffer_updated(self, nbytes: int) -> None:
            start = len(self.received)
            self.received += memoryview(self.buffer)[start : start + nbytes]
            self.changed()

    data = pattern(40_000)
    async with connected(View) as (protocol, peer):
        for start in range(0, len(data), 1000):
            peer.send(data[start : start + 1000])
            await protocol.got(start + 1000)
        assert protocol.received == data


async def test_many_connections_at_once_keep_their_bytes_apart() -> None:
    async with serving(Echo) as place:
        peers = [place.connect() for _ in range(50)]
        for round_ in range(20):
            for number, peer in enumerate(peers):
                peer.send(b"%04d-%04d;" % (number, round_))
            for number, peer in enumerate(peers):
                assert await peer.recv_exactly(10) == b"%04d-%04d;" % (
                    number,
                    round_,
                )
        for peer in peers:
            peer.close()
        await everybody_has_left(place.server)


async def everybody_has_left(server: asyncio.Server) -> None:
    """``wait_closed`` waits for connections only since 3.12."""
    while server._active_count if hasattr(server, "_active_count") else server._clients:  # type: ignore[attr-defined]
        await asyncio.sleep(0)

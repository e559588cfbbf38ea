"""pause_reading and resume_reading: nothing is delivered too early, nothing is lost."""

import asyncio
import sys
from asyncio import AbstractEventLoop

import pytest

from .peers import Wire, a_round_trip_elsewhere, connected, pattern
from .protocols import BufferedRecorder, Recorder

KIB = 1024
MIB = 1024 * KIB


@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder])
async def test_nothing_is_delivered_while_reading_is_paused_and_all_of_it_after(
    wire: Wire, factory: type[Recorder] | type[BufferedRecorder]
) -> None:
    async with connected(factory, wire) as (protocol, peer):
        peer.send(b"before")
        await protocol.got(6)
        protocol.transport.pause_reading()
        assert not protocol.transport.is_reading()
        peer.send(b"during")
        await a_round_trip_elsewhere()
        assert protocol.received == b"before"
        protocol.transport.resume_reading()
        assert protocol.transport.is_reading()
        peer.send(b"after")
        assert await protocol.got(17) == b"beforeduringafter"


async def test_pausing_inside_data_received_holds_back_the_rest(wire: Wire) -> None:
    class Sips(Recorder):
        def data_received(self, data: bytes) -> None:
            assert self.transport.is_reading()
            super().data_received(data)
            self.transport.pause_reading()

    data = pattern(3 * MIB)
    async with connected(Sips, wire) as (protocol, peer):
        sending = asyncio.ensure_future(peer.sendall(data))
        while len(protocol.received) < len(data):
            size = len(protocol.received)
            await protocol.got(size + 1)
            size = len(protocol.received)
            await asyncio.sleep(0)
            assert len(protocol.received) == size
            protocol.transport.resume_reading()
        await sending
        assert protocol.received == data


async def test_a_buffered_protocol_that_pauses_in_the_middle_of_a_chunk_keeps_the_order(
    wire: Wire,
) -> None:
    """Its buffer is smaller than what the kernel delivers at once, and the rest
    of a chunk must be delivered before anything received later."""

    class Sips(BufferedRecorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    data = pattern(300_000)
    async with connected(lambda: Sips(4096), wire) as (protocol, peer):
        sending = asyncio.ensure_future(peer.sendall(data))
        assert await protocol.got(len(data)) == data
        await sending


async def test_pausing_and_resuming_in_one_iteration_loses_and_doubles_nothing(
    wire: Wire,
) -> None:
    data = pattern(MIB)
    async with connected(Recorder, wire) as (protocol, peer):
        sending = asyncio.ensure_future(peer.sendall(data))
        while len(protocol.received) < len(data):
            for _ in range(3):
                protocol.transport.pause_reading()
                protocol.transport.resume_reading()
            # asyncio drops a pending readiness report when it is paused,
            # so it needs an iteration without a pause.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await sending
        assert protocol.received == data


async def test_resuming_and_pausing_every_iteration_loses_and_duplicates_nothing(
    wire: Wire,
) -> None:
    """Every iteration finds the read in another state: just begun, being cancelled,
    cancelled with bytes already received."""

    data = pattern(MIB)
    async with connected(Recorder, wire) as (protocol, peer):
        sending = asyncio.ensure_future(peer.sendall(data))
        turn = 0
        while len(protocol.received) < len(data):
            turn += 1
            if turn % 4 < 2:
                protocol.transport.pause_reading()
            else:
                protocol.transport.resume_reading()
            await asyncio.sleep(0)
        protocol.transport.resume_reading()
        await sending
        assert protocol.received == data


async def test_pausing_twice_and_resuming_twice_is_allowed() -> None:
    async with connected(Recorder) as (protocol, peer):
        transport = protocol.transport
        transport.resume_reading()
        transport.pause_reading()
        transport.pause_reading()
        transport.resume_reading()
        transport.resume_reading()
        peer.send(b"x")
        assert await protocol.got(1) == b"x"


async def test_pausing_in_connection_made_works(wire: Wire, loop_kind: str) -> None:
    if loop_kind == "asyncio" and sys.version_info < (3, 11, 7):
        pytest.skip("asyncio reads all the same in older patch releases")

    class Paused(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()

    async with connected(Paused, wire) as (protocol, peer):
        peer.send(b"waits")
        await a_round_trip_elsewhere()
        assert protocol.received == b""
        protocol.transport.resume_reading()
        assert await protocol.got(5) == b"waits"


async def test_the_end_of_file_waits_while_reading_is_paused(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.pause_reading()
        peer.send(b"last words")
        peer.finish_sending()
        await a_round_trip_elsewhere()
        assert protocol.calls == ["connection_made"]
        protocol.transport.resume_reading()
        assert await protocol.lost() is None
        assert protocol.received == b"last words"
        assert protocol.calls == [
            "connection_made",
            "data_received",
            "eof_received",
            "connection_lost",
        ]


async def test_a_reset_waits_while_reading_is_paused() -> None:
    async with connected(Recorder) as (protocol, peer):
        protocol.transport.pause_reading()
        peer.reset()
        await a_round_trip_elsewhere()
        assert protocol.calls == ["connection_made"]
        protocol.transport.resume_reading()
        assert isinstance(await protocol.lost(), ConnectionResetError)


async def test_pausing_and_resuming_a_closed_transport_does_nothing(
    loop: AbstractEventLoop,
) -> None:
    async with connected(Recorder) as (protocol, _):
        transport = protocol.transport
        transport.close()
        transport.pause_reading()
        transport.resume_reading()
        assert not transport.is_reading()
        await protocol.lost()
        transport.pause_reading()
        transport.resume_reading()
        assert protocol.calls == ["connection_made", "connection_lost"]


async def test_a_paused_transport_can_still_write(wire: Wire) -> None:
    data = pattern(2 * MIB)
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.pause_reading()
        protocol.transport.write(data)
        assert await peer.recv_exactly(len(data)) == data

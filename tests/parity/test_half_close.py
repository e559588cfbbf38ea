"""Half-closed connections: end of file from the peer, and from us."""

import asyncio

import pytest

from .peers import Wire, a_round_trip_elsewhere, connected, connecting, pattern
from .protocols import BufferedRecorder, Recorder
from .test_flow_control import fill

MIB = 1024 * 1024


class StaysOpen(Recorder):
    """Keeps writing after the peer's end of file."""

    def eof_received(self) -> bool:
        super().eof_received()
        return True


async def test_the_peers_end_closes_the_connection_unless_the_protocol_objects(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        peer.send(b"last words")
        peer.finish_sending()
        assert await protocol.lost() is None
        assert await peer.recv_to_end() == b""
        assert protocol.received == b"last words"
        assert protocol.calls == [
            "connection_made",
            "data_received",
            "eof_received",
            "connection_lost",
        ]


async def test_a_buffered_protocol_is_told_of_the_end_the_same_way(wire: Wire) -> None:
    async with connected(BufferedRecorder, wire) as (protocol, peer):
        peer.finish_sending()
        assert await protocol.lost() is None
        assert protocol.calls == [
            "connection_made",
            "eof_received",
            "connection_lost",
        ]


async def test_a_protocol_that_returns_true_can_go_on_writing(wire: Wire) -> None:
    data = pattern(2 * MIB)
    async with connected(StaysOpen, wire) as (protocol, peer):
        peer.finish_sending()
        await protocol.until(lambda: "eof_received" in protocol.calls)
        await a_round_trip_elsewhere()
        assert not protocol.transport.is_closing()
        protocol.transport.write(data)
        assert await peer.recv_exactly(len(data)) == data
        protocol.transport.close()
        assert await peer.recv_to_end() == b""
        assert await protocol.lost() is None
        assert protocol.calls.count("eof_received") == 1


async def test_a_protocol_that_stays_open_is_told_again_when_it_resumes_reading(
    wire: Wire,
) -> None:
    async with connected(StaysOpen, wire) as (protocol, peer):
        peer.finish_sending()
        await protocol.until(lambda: "eof_received" in protocol.calls)
        protocol.transport.pause_reading()
        await a_round_trip_elsewhere()
        assert protocol.calls.count("eof_received") == 1
        protocol.transport.resume_reading()
        await protocol.until(lambda: protocol.calls.count("eof_received") == 2)
        assert not protocol.transport.is_closing()


async def test_what_waits_is_sent_before_the_peers_end_closes_the_connection(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        data = fill(protocol.transport, protocol)
        peer.finish_sending()
        await protocol.until(lambda: "eof_received" in protocol.calls)
        assert protocol.transport.is_closing()
        assert not protocol.is_lost
        assert await peer.recv_to_end() == data
        assert await protocol.lost() is None


async def test_an_answer_written_in_eof_received_is_sent(wire: Wire) -> None:
    class Answers(Recorder):
        def eof_received(self) -> None:
            self.transport.write(b"bye")
            super().eof_received()

    async with connected(Answers, wire) as (protocol, peer):
        peer.finish_sending()
        assert await peer.recv_to_end() == b"bye"
        assert await protocol.lost() is None


async def test_write_eof_ends_our_direction_after_what_was_written(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        transport = protocol.transport
        assert transport.can_write_eof()
        data = fill(transport, protocol)
        transport.write_eof()
        assert await peer.recv_to_end() == data
        peer.send(b"still heard")
        assert await protocol.got(11) == b"still heard"
        assert not transport.is_closing()
        peer.finish_sending()
        assert await protocol.lost() is None


async def test_write_eof_with_nothing_written_ends_our_direction(wire: Wire) -> None:
    async with connecting(Recorder, wire) as (protocol, peer):
        protocol.transport.write_eof()
        assert await peer.recv_to_end() == b""
        peer.send(b"still heard")
        assert await protocol.got(11) == b"still heard"


async def test_write_and_write_eof_in_one_iteration_send_both(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(b"last words")
        protocol.transport.write_eof()
        protocol.transport.write_eof()
        assert await peer.recv_to_end() == b"last words"


async def test_nothing_can_be_written_after_write_eof() -> None:
    async with connected(Recorder) as (protocol, _):
        protocol.transport.write_eof()
        with pytest.raises(RuntimeError, match=r"write\(\) after write_eof"):
            protocol.transport.write(b"late")


async def test_write_eof_after_close_does_nothing() -> None:
    async with connected(Recorder) as (protocol, _):
        protocol.transport.close()
        protocol.transport.write_eof()
        assert await protocol.lost() is None
        protocol.transport.write_eof()


@pytest.mark.parametrize("pauses", [False, True])
async def test_what_the_last_bytes_scheduled_runs_before_the_end(
    wire: Wire, pauses: bool
) -> None:
    """Bytes and the end of file arrive at the same time, before or while it pauses."""
    loop = asyncio.get_running_loop()
    seen: list[str] = []

    class Schedules(Recorder):
        def data_received(self, data: bytes) -> None:
            seen.append("bytes")
            loop.call_soon(seen.append, "callback")

        def eof_received(self) -> None:
            seen.append("end")

    async with connected(Schedules, wire) as (protocol, peer):

        def arrive() -> None:
            peer.send(b"last words")
            peer.finish_sending()
            if pauses:
                loop.call_soon(protocol.transport.pause_reading)
                loop.call_later(0, protocol.transport.resume_reading)

        loop.call_soon(arrive)
        assert await protocol.lost() is None

    assert seen == ["bytes", "callback", "end"]


@pytest.mark.parametrize("what", ["pause_reading", "abort"])
async def test_an_end_that_is_read_into_a_buffer_is_told(wire: Wire, what: str) -> None:
    """The buffer is asked for before the end is found, whatever happens there."""

    class Meddles(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> bytearray:
            getattr(self.transport, what)()
            return super().get_buffer(sizehint)

    async with connected(Meddles, wire) as (protocol, peer):
        peer.finish_sending()
        assert await protocol.lost() is None
        assert protocol.calls == ["connection_made", "eof_received", "connection_lost"]


async def test_write_eof_after_a_reset_raises() -> None:
    """Nothing has been read since, so nobody else can tell."""
    async with connected(Recorder) as (protocol, peer):
        protocol.transport.pause_reading()
        peer.reset()
        with pytest.raises(OSError, match="Transport endpoint is not connected"):
            protocol.transport.write_eof()
        protocol.transport.abort()
        await protocol.lost()

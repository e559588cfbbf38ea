"""How connections end: close, abort, reset, and the protocol's last calls."""

import asyncio
import errno
import socket
from asyncio import AbstractEventLoop

import pytest

from .peers import Wire, a_round_trip_elsewhere, connected, pattern
from .protocols import BufferedRecorder, Recorder
from .test_flow_control import fill

MIB = 1024 * 1024


async def test_close_sends_what_waits_and_then_tells_the_protocol(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        data = fill(protocol.transport, protocol)
        protocol.transport.close()
        assert protocol.transport.is_closing()
        await a_round_trip_elsewhere()
        assert not protocol.is_lost
        assert await peer.recv_to_end() == data
        assert await protocol.lost() is None


async def test_write_and_close_in_one_iteration_send_what_was_written(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(b"last ")
        protocol.transport.write(b"words")
        protocol.transport.close()
        assert await peer.recv_to_end() == b"last words"
        assert await protocol.lost() is None


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_connection_lost_is_not_called_inside_close_or_abort(
    wire: Wire, how: str
) -> None:
    async with connected(Recorder, wire) as (protocol, _):
        getattr(protocol.transport, how)()
        assert protocol.transport.is_closing()
        assert not protocol.is_lost
        assert await protocol.lost() is None


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_what_is_scheduled_after_the_end_finds_the_connection_closed(
    wire: Wire, how: str
) -> None:
    """Such a callback may block the loop until the peer's thread sees the end."""

    async with connected(Recorder, wire) as (protocol, peer):
        await a_round_trip_elsewhere()
        getattr(protocol.transport, how)()
        await asyncio.sleep(0)
        assert protocol.is_lost
        assert peer.sock.recv(1) == b""


async def test_connection_lost_comes_once_however_often_the_transport_is_closed(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        transport = protocol.transport
        transport.close()
        transport.close()
        transport.abort()
        peer.close()
        transport.close()
        await protocol.lost()
        transport.close()
        transport.abort()
        await a_round_trip_elsewhere()
        assert protocol.calls == ["connection_made", "connection_lost"]


async def test_close_stops_reading_at_once(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        fill(protocol.transport, protocol)
        protocol.transport.close()
        assert not protocol.transport.is_reading()
        peer.send(b"too late")
        await a_round_trip_elsewhere()
        assert protocol.received == b""
        protocol.transport.abort()
        await protocol.lost()
        assert protocol.received == b""


async def test_closing_inside_data_received_ends_the_delivery(wire: Wire) -> None:
    class Enough(Recorder):
        def data_received(self, data: bytes) -> None:
            assert not self.received
            super().data_received(data)
            self.transport.write(b"enough")
            self.transport.close()

    async with connected(Enough, wire) as (protocol, peer):
        peer.send(b"some")
        peer.send(b"more")
        assert await peer.recv_exactly(6) == b"enough"
        await protocol.lost()
        assert protocol.received.startswith(b"some")


async def test_closing_in_connection_made_delivers_nothing(wire: Wire) -> None:
    class Refuses(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.write(b"go away")
            self.transport.close()

    async with connected(Refuses, wire) as (protocol, peer):
        assert await peer.recv_to_end() == b"go away"
        assert await protocol.lost() is None
        assert protocol.calls == ["connection_made", "connection_lost"]


async def test_abort_drops_what_waits(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        data = fill(protocol.transport, protocol)
        protocol.transport.abort()
        assert await protocol.lost() is None
        assert protocol.transport.get_write_buffer_size() == 0
        try:
            assert len(await peer.recv_to_end()) < len(data)
        except ConnectionResetError:
            pass


async def test_what_was_written_just_before_an_abort_is_sent(wire: Wire) -> None:
    """The socket has room for it, so asyncio has sent it when write returns."""

    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(b"last words")
        protocol.transport.abort()
        assert await peer.recv_to_end() == b"last words"
        assert await protocol.lost() is None


async def test_what_is_written_while_a_close_still_sends_is_sent_too(
    wire: Wire,
) -> None:
    """TLS does this: its last records wait for resume_writing."""

    class SaysMore(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            assert self.transport.is_closing()
            self.transport.write(b", and the last")

    async with connected(SaysMore, wire) as (protocol, peer):
        data = fill(protocol.transport, protocol)
        protocol.transport.close()
        protocol.transport.write(b", more")
        assert await peer.recv_to_end() == data + b", more, and the last"
        assert await protocol.lost() is None


async def test_what_is_written_after_a_close_that_had_nothing_left_to_send_is_lost(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(b"in time")
        protocol.transport.close()
        protocol.transport.write(b", late")
        assert await peer.recv_to_end() == b"in time"
        assert await protocol.lost() is None


async def test_writing_to_a_closed_transport_sends_nothing_and_does_not_raise(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.write(b"in time")
        assert await peer.recv_exactly(7) == b"in time"
        protocol.transport.close()
        protocol.transport.write(b"late")
        assert await protocol.lost() is None
        protocol.transport.write(b"later")
        assert await peer.recv_to_end() == b""


@pytest.mark.ours_only
async def test_a_transport_that_is_gone_takes_every_call_quietly(wire: Wire) -> None:
    """In asyncio ``writelines`` fails here since 3.12, and so does ``abort`` if
    ``close`` had to flush first."""

    async with connected(Recorder, wire) as (protocol, peer):
        data = fill(protocol.transport, protocol)
        protocol.transport.close()
        assert await peer.recv_to_end() == data
        await protocol.lost()
        protocol.transport.write(b"late")
        protocol.transport.writelines([b"la", b"te"])
        protocol.transport.write_eof()
        protocol.transport.pause_reading()
        protocol.transport.resume_reading()
        protocol.transport.close()
        protocol.transport.abort()
        assert protocol.transport.get_write_buffer_size() == 0
        await a_round_trip_elsewhere()
        assert protocol.calls.count("connection_lost") == 1


async def test_writing_in_connection_lost_does_not_raise() -> None:
    class Insists(Recorder):
        def connection_lost(self, exc: BaseException | None) -> None:
            self.transport.write(b"one more thing")
            super().connection_lost(exc)

    async with connected(Insists) as (protocol, peer):
        protocol.transport.abort()
        await protocol.lost()
        assert await peer.recv_to_end() == b""


async def test_a_reset_is_told_as_connection_reset_error() -> None:
    async with connected(Recorder) as (protocol, peer):
        peer.reset()
        error = await protocol.lost()
        assert isinstance(error, ConnectionResetError)
        assert error.errno == errno.ECONNRESET
        assert protocol.calls == ["connection_made", "connection_lost"]
        assert protocol.transport.is_closing()


async def test_a_buffered_protocol_is_told_of_a_reset_the_same_way() -> None:
    async with connected(BufferedRecorder) as (protocol, peer):
        peer.reset()
        assert isinstance(await protocol.lost(), ConnectionResetError)
        assert protocol.calls == ["connection_made", "connection_lost"]


async def test_a_reset_while_writing_is_told_as_connection_error() -> None:
    async with connected(Recorder) as (protocol, peer):
        fill(protocol.transport, protocol)
        protocol.transport.pause_reading()
        peer.reset()
        error = await protocol.lost()
        assert isinstance(error, ConnectionResetError | BrokenPipeError)
        assert protocol.calls == [
            "connection_made",
            "pause_writing",
            "connection_lost",
        ]


async def test_a_unix_peer_that_leaves_while_we_write_is_told_as_broken_pipe() -> None:
    async with connected(Recorder, "unix") as (protocol, peer):
        fill(protocol.transport, protocol)
        protocol.transport.pause_reading()
        peer.close()
        error = await protocol.lost()
        assert isinstance(error, ConnectionResetError | BrokenPipeError)


async def test_a_reset_after_close_is_no_error_of_the_protocols_or_told_as_such() -> (
    None
):
    async with connected(Recorder) as (protocol, peer):
        fill(protocol.transport, protocol)
        protocol.transport.close()
        peer.reset()
        error = await protocol.lost()
        assert isinstance(error, ConnectionResetError | BrokenPipeError)
        assert protocol.calls.count("connection_lost") == 1


async def test_bytes_before_a_unix_peers_end_are_all_delivered() -> None:
    """The end of file must not overtake them or be lost after them."""

    data = pattern(MIB)
    for _ in range(20):
        async with connected(Recorder, "unix") as (protocol, peer):
            await peer.sendall(data[:100_000])
            peer.close()
            assert await protocol.lost() is None
            assert protocol.received == data[:100_000]


async def test_the_descriptor_is_closed_when_connection_lost_has_been_called(
    loop: AbstractEventLoop, wire: Wire
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        sock: socket.socket = protocol.transport.get_extra_info("socket")
        assert sock.fileno() >= 0
        protocol.transport.close()
        await protocol.lost()
        await a_round_trip_elsewhere()
        assert sock.fileno() == -1
        assert await peer.recv_to_end() == b""


async def test_simultaneous_ends_of_both_sides_close_cleanly(wire: Wire) -> None:
    for _ in range(30):
        async with connected(Recorder, wire) as (protocol, peer):
            peer.finish_sending()
            protocol.transport.write_eof()
            assert await protocol.lost() is None
            assert await peer.recv_to_end() == b""


async def test_a_connection_closed_by_the_peer_at_once_is_still_made_and_lost(
    wire: Wire,
) -> None:
    for _ in range(30):
        async with connected(Recorder, wire) as (protocol, peer):
            peer.close()
            await protocol.lost()
            assert protocol.calls[0] == "connection_made"
            assert protocol.calls[-1] == "connection_lost"

"""Watermarks, pause_writing and resume_writing."""

import asyncio
import socket

import pytest
from loops import Reported

from .peers import Wire, a_round_trip_elsewhere, connected, pattern
from .protocols import Recorder
from .test_exceptions import Particular

KIB = 1024
MIB = 1024 * KIB


def keep_little_in_the_kernel(transport: asyncio.WriteTransport) -> None:
    """Otherwise the kernel takes megabytes before anything has to wait."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * KIB)


def fill(transport: asyncio.WriteTransport, protocol: Recorder) -> bytes:
    """Writes until more is buffered than fits into a peer that does not read.

    Returns what was written.  ``pause_writing`` has been called.
    """
    keep_little_in_the_kernel(transport)
    written = bytearray()
    # When pause_writing is called, the peer's own 128 KiB buffer may still be
    # empty: on a busy machine the bytes get there later.
    more = 4
    while more:
        piece = pattern(64 * KIB)
        transport.write(piece)
        written += piece
        more -= "pause_writing" in protocol.calls
    return bytes(written)


async def test_the_limits_are_64_and_16_kibibytes_at_first(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, _):
        limits = protocol.transport.get_write_buffer_limits()
        assert limits == (16 * KIB, 64 * KIB)


@pytest.mark.parametrize(
    ("given", "low_and_high"),
    [
        ({"high": 1000}, (250, 1000)),
        ({"low": 1000}, (1000, 4000)),
        ({"high": 10, "low": 5}, (5, 10)),
        ({"high": 0}, (0, 0)),
        ({}, (16 * KIB, 64 * KIB)),
    ],
)
async def test_limits_can_be_set(
    given: dict[str, int], low_and_high: tuple[int, int]
) -> None:
    async with connected(Recorder) as (protocol, _):
        protocol.transport.set_write_buffer_limits(**given)
        assert protocol.transport.get_write_buffer_limits() == low_and_high


@pytest.mark.parametrize("given", [{"high": 1, "low": 2}, {"low": -1}, {"high": -1}])
async def test_limits_that_contradict_each_other_are_refused(
    given: dict[str, int],
) -> None:
    async with connected(Recorder) as (protocol, _):
        with pytest.raises(ValueError):
            protocol.transport.set_write_buffer_limits(**given)


async def test_a_writer_is_paused_inside_write_and_resumed_when_the_peer_has_read(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        transport = protocol.transport
        data = fill(transport, protocol)
        assert transport.get_write_buffer_size() > 64 * KIB
        transport.write(b"more")
        assert protocol.calls == ["connection_made", "pause_writing"]

        assert await peer.recv_exactly(len(data) + 4) == data + b"more"
        await protocol.until(lambda: "resume_writing" in protocol.calls)
        assert transport.get_write_buffer_size() <= 16 * KIB
        assert protocol.calls == [
            "connection_made",
            "pause_writing",
            "resume_writing",
        ]


async def test_pausing_and_resuming_alternate_as_often_as_needed(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        for _ in range(5):
            protocol.calls.clear()
            data = fill(protocol.transport, protocol)
            assert await peer.recv_exactly(len(data)) == data
            await protocol.until(lambda: "resume_writing" in protocol.calls)
            assert protocol.calls == ["pause_writing", "resume_writing"]


async def test_resume_writing_may_write_and_be_paused_again(wire: Wire) -> None:
    class GoesOn(Recorder):
        pieces = 0

        def submit_new(self) -> None:
            paused = self.calls.count("pause_writing")
            while self.calls.count("pause_writing") == paused:
                self.transport.write(pattern(100_000))
                self.pieces += 1

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.calls.count("resume_writing") < 5:
                self.submit_new()
            else:
                # Not immediately: see the next test.
                asyncio.get_running_loop().call_soon(self.transport.close)

    async with connected(GoesOn, wire) as (protocol, peer):
        keep_little_in_the_kernel(protocol.transport)
        protocol.submit_new()
        got = await peer.recv_to_end()
        assert got == pattern(100_000) * protocol.pieces
        await protocol.lost()
        assert protocol.calls == [
            "connection_made",
            *["pause_writing", "resume_writing"] * 5,
            "connection_lost",
        ]


@pytest.mark.ours_only
async def test_closing_inside_resume_writing_loses_the_connection_once(
    wire: Wire,
) -> None:
    """asyncio calls connection_lost twice here, the second time on None."""

    class Closes(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            self.transport.close()

    async with connected(Closes, wire) as (protocol, peer):
        protocol.transport.set_write_buffer_limits(high=0)
        data = fill(protocol.transport, protocol)
        assert await peer.recv_to_end() == data
        await protocol.lost()
        await a_round_trip_elsewhere()
        assert protocol.calls == [
            "connection_made",
            "pause_writing",
            "resume_writing",
            "connection_lost",
        ]


async def test_lowering_the_limit_under_what_waits_pauses_at_once(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        transport = protocol.transport
        transport.set_write_buffer_limits(high=100 * MIB)
        data = pattern(8 * MIB)
        transport.write(data)
        assert protocol.calls == ["connection_made"]
        transport.set_write_buffer_limits(high=1)
        assert protocol.calls == ["connection_made", "pause_writing"]
        assert await peer.recv_exactly(len(data)) == data
        await protocol.until(lambda: "resume_writing" in protocol.calls)


class Sizes(Recorder):
    size_at_resume = -1

    def resume_writing(self) -> None:
        self.size_at_resume = self.transport.get_write_buffer_size()
        super().resume_writing()


async def test_a_writer_resumes_at_the_low_limit_not_only_when_nothing_waits(
    wire: Wire,
) -> None:
    async with connected(Sizes, wire) as (protocol, peer):
        keep_little_in_the_kernel(protocol.transport)
        protocol.transport.set_write_buffer_limits(high=32 * MIB, low=31 * MIB)
        protocol.transport.write(pattern(40 * MIB))
        while "resume_writing" not in protocol.calls:
            await peer.recv(MIB)
        assert 0 < protocol.size_at_resume <= 31 * MIB


async def test_with_limits_of_zero_the_writer_resumes_only_when_nothing_waits(
    wire: Wire,
) -> None:
    async with connected(Sizes, wire) as (protocol, peer):
        protocol.transport.set_write_buffer_limits(high=0)
        data = fill(protocol.transport, protocol)
        assert await peer.recv_exactly(len(data)) == data
        await protocol.until(lambda: "resume_writing" in protocol.calls)
        assert protocol.size_at_resume == 0


async def test_what_leaves_at_once_does_not_pause_even_with_limits_of_zero(
    wire: Wire,
) -> None:
    """asyncio sends before it compares, so with room in the socket nothing pauses."""

    async with connected(Recorder, wire) as (protocol, peer):
        protocol.transport.set_write_buffer_limits(high=0)
        for _ in range(3):
            protocol.transport.write(b"x")
            assert await peer.recv_exactly(1) == b"x"
        assert protocol.calls == ["connection_made"]


async def test_a_paused_writer_that_closes_is_resumed_before_connection_lost(
    wire: Wire,
) -> None:
    async with connected(Recorder, wire) as (protocol, peer):
        data = fill(protocol.transport, protocol)
        protocol.transport.close()
        assert await peer.recv_to_end() == data
        assert await protocol.lost() is None
        assert protocol.calls == [
            "connection_made",
            "pause_writing",
            "resume_writing",
            "connection_lost",
        ]


@pytest.mark.parametrize("call", ["pause_writing", "resume_writing"])
async def test_a_failing_flow_control_call_is_reported_and_the_connection_goes_on(
    reported: Reported, call: str
) -> None:
    class Fails(Recorder):
        def note(self, name: str) -> None:
            super().note(name)
            if name == call:
                raise Particular

    async with connected(Fails) as (protocol, peer):
        data = fill(protocol.transport, protocol)
        assert await peer.recv_exactly(len(data)) == data
        await protocol.until(lambda: "resume_writing" in protocol.calls)
        (context,) = reported
        assert context["message"] == f"protocol.{call}() failed"
        assert isinstance(context["exception"], Particular)
        assert context["protocol"] is protocol
        assert context["transport"] is protocol.transport
        assert set(context) == {"message", "exception", "protocol", "transport"}
        reported.clear()
        peer.send(b"goes on")
        assert await protocol.got(7) == b"goes on"

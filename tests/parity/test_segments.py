"""TCP segments per response: all writes of one iteration leave in one segment."""

import socket
import struct
from collections.abc import Callable

import pytest

from .peers import connected
from .protocols import Recorder

pytestmark = pytest.mark.ours_only

DATA_SEGMENTS_RECEIVED_AT = 152
"""Offset of ``tcpi_data_segs_in`` in ``struct tcp_info`` of linux/tcp.h."""


def data_segments_received(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    (count,) = struct.unpack_from("I", info, DATA_SEGMENTS_RECEIVED_AT)
    return int(count)


def head_then_body(protocol: Recorder) -> None:
    protocol.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    protocol.transport.write(b"body")


def lines(protocol: Recorder) -> None:
    protocol.transport.writelines([b"HTTP/1.1 200 OK\r\n", b"Content-Length: 4\r\n"])
    protocol.transport.writelines([b"\r\n", b"body"])


def many(protocol: Recorder) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody":
        protocol.transport.write(bytes([byte]))


def before_closing(protocol: Recorder) -> None:
    head_then_body(protocol)
    protocol.transport.close()


@pytest.mark.parametrize("respond", [head_then_body, lines, many, before_closing])
async def test_head_and_body_written_in_one_callback_leave_in_one_segment(
    respond: Callable[[Recorder], None],
) -> None:
    class Responds(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            respond(self)

    async with connected(Responds) as (_, peer):
        peer.send(b"GET / HTTP/1.1\r\n\r\n")
        assert (await peer.recv_exactly(42)).endswith(b"\r\n\r\nbody")
        assert data_segments_received(peer.sock) == 1


async def test_head_and_body_written_by_one_task_step_leave_in_one_segment() -> None:
    async with connected(Recorder) as (protocol, peer):
        head_then_body(protocol)
        assert (await peer.recv_exactly(42)).endswith(b"\r\n\r\nbody")
        assert data_segments_received(peer.sock) == 1


async def test_the_answers_to_pipelined_requests_of_one_read_leave_in_one_segment() -> (
    None
):
    class Responds(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            for _ in range(data.count(b"\r\n\r\n")):
                head_then_body(self)

    async with connected(Responds) as (_, peer):
        peer.send(b"GET / HTTP/1.1\r\n\r\n" * 5)
        await peer.recv_exactly(5 * 42)
        assert data_segments_received(peer.sock) == 1


async def test_a_write_does_not_wait_for_anything_but_the_end_of_its_iteration() -> (
    None
):
    async with connected(Recorder) as (protocol, peer):
        for number in range(1, 6):
            protocol.transport.write(b"x")
            assert await peer.recv_exactly(1) == b"x"
            assert data_segments_received(peer.sock) == number

"""A peer that resets, at every point of a connection's life.

The calls of the protocol with their errors, the exceptions of awaits and the
reports are the same as on asyncio's loop, and the loop keeps working.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any

import pytest
from parity.peers import Peer

from .bench import contexts
from .lives import BIG, Life, lived

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def reset(peer: socket.socket) -> None:
    Peer(peer).reset()


class Seeing(asyncio.Protocol):
    transport: Any = None

    def __init__(self, life: Life, made: Callable[[], None] = lambda: None) -> None:
        self.life = life
        self.calls: list[str] = []
        self.made = made

    def called(self, name: str, said: str = "") -> None:
        self.calls.append(name)
        self.life.see(f"{name}{said}")

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.called("connection_made")
        self.made()

    def data_received(self, data: bytes) -> None:
        self.called("data_received")

    def eof_received(self) -> bool:
        self.called("eof_received")
        return True

    def pause_writing(self) -> None:
        self.called("pause_writing")

    def resume_writing(self) -> None:
        self.called("resume_writing")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.called("connection_lost", f" {exc!r}")

    async def lost(self) -> None:
        await self.life.until(lambda: "connection_lost" in self.calls)


async def connected(life: Life) -> tuple[Any, Seeing, socket.socket]:
    ours, theirs = life.tcp()
    protocol = Seeing(life)
    transport, _ = await life.loop.connect_accepted_socket(lambda: protocol, ours)
    return transport, protocol, theirs


async def in_the_queue(life: Life) -> None:
    """The reset comes before the accept."""
    protocol = Seeing(life)
    listener = life.bench.listening()
    reset(socket.create_connection(listener.getsockname()))
    server = await life.loop.create_server(lambda: protocol, sock=listener)
    await protocol.lost()
    server.close()


async def in_connection_made(life: Life) -> None:
    ours, theirs = life.tcp()
    protocol = Seeing(life, lambda: reset(theirs))
    await life.attempt(life.loop.connect_accepted_socket(lambda: protocol, ours))
    await protocol.lost()


async def when_idle(life: Life) -> None:
    _, protocol, theirs = await connected(life)
    reset(theirs)
    await protocol.lost()


async def behind_bytes(life: Life) -> None:
    """The kernel drops the bytes that it had received."""
    _, protocol, theirs = await connected(life)
    theirs.send(b"x")
    reset(theirs)
    await protocol.lost()


async def between_bytes(life: Life) -> None:
    _, protocol, theirs = await connected(life)
    theirs.send(b"x")
    await life.until(lambda: "data_received" in protocol.calls)
    reset(theirs)
    await protocol.lost()


async def before_a_write(life: Life) -> None:
    transport, protocol, theirs = await connected(life)
    reset(theirs)
    transport.write(b"x")
    await protocol.lost()
    transport.write(b"x")


async def before_a_big_write(life: Life) -> None:
    transport, protocol, theirs = await connected(life)
    reset(theirs)
    transport.write(BIG)
    await protocol.lost()


async def amid_a_big_write(life: Life) -> None:
    transport, protocol, theirs = await connected(life)
    transport.write(BIG)
    await life.until(lambda: "pause_writing" in protocol.calls)
    reset(theirs)
    await protocol.lost()
    life.see(f"{transport.get_write_buffer_size()} bytes wait")


async def when_paused(life: Life) -> None:
    """The reset is not noticed until reading resumes."""
    transport, protocol, theirs = await connected(life)
    transport.pause_reading()
    await asyncio.sleep(0)
    reset(theirs)
    for _ in range(5):
        await asyncio.sleep(0)
    life.see(f"closing: {transport.is_closing()}")
    transport.resume_reading()
    await protocol.lost()


async def when_paused_and_written_to(life: Life) -> None:
    transport, protocol, theirs = await connected(life)
    transport.pause_reading()
    await asyncio.sleep(0)
    reset(theirs)
    transport.write(b"x")
    await protocol.lost()


async def when_half_closed_by_it(life: Life) -> None:
    """Reading has ended, so the reset is noticed by writing."""
    transport, protocol, theirs = await connected(life)
    theirs.shutdown(socket.SHUT_WR)
    await life.until(lambda: "eof_received" in protocol.calls)
    reset(theirs)
    transport.write(b"x")
    await protocol.lost()


async def when_half_closed_by_us(life: Life) -> None:
    transport, protocol, theirs = await connected(life)
    transport.write_eof()
    await asyncio.sleep(0)
    reset(theirs)
    await protocol.lost()


async def amid_close(life: Life) -> None:
    transport, protocol, theirs = await connected(life)
    transport.write(BIG)
    transport.close()
    await asyncio.sleep(0)
    reset(theirs)
    await protocol.lost()


async def amid_write_eof(life: Life) -> None:
    transport, protocol, theirs = await connected(life)
    transport.write(BIG)
    transport.write_eof()
    await asyncio.sleep(0)
    reset(theirs)
    await protocol.lost()


async def amid_sendfile(life: Life) -> None:
    transport, protocol, theirs = await connected(life)
    file = life.bench.file(BIG)
    sending = asyncio.ensure_future(life.loop.sendfile(transport, file))
    await life.loop.sock_recv(theirs, 1)
    reset(theirs)
    # sendfile(2) gets the error; a read after it finds the end of file.
    await life.until(lambda: "eof_received" in protocol.calls)
    await life.attempt(sending)
    transport.abort()
    await protocol.lost()


async def amid_a_client_s_handshake(life: Life) -> None:
    ours, theirs = life.tcp()
    connecting = asyncio.ensure_future(
        life.loop.create_connection(
            lambda: Seeing(life),
            sock=ours,
            ssl=contexts()[1],
            server_hostname="localhost",
        )
    )
    await life.loop.sock_recv(theirs, 1 << 16)
    reset(theirs)
    await life.attempt(connecting)


async def amid_a_server_s_handshake(life: Life) -> None:
    server = await life.loop.create_server(
        lambda: Seeing(life), "127.0.0.1", 0, ssl=contexts()[0]
    )
    with socket.create_connection(server.sockets[0].getsockname()) as theirs:
        theirs.setblocking(False)
        # The beginning of a TLS record whose rest never comes.
        await life.loop.sock_sendall(theirs, b"\x16\x03\x01\x02\x00")
        for _ in range(5):
            await asyncio.sleep(0)
        reset(theirs)
    for _ in range(20):
        await asyncio.sleep(0)
    server.close()


async def amid_start_tls(life: Life) -> None:
    transport, protocol, theirs = await connected(life)
    starting = asyncio.ensure_future(
        life.loop.start_tls(
            transport, protocol, contexts()[1], server_hostname="localhost"
        )
    )
    await life.loop.sock_recv(theirs, 1 << 16)
    reset(theirs)
    await life.attempt(starting)


async def of_a_stream_that_is_read(life: Life) -> None:
    ours, theirs = life.tcp()
    reader, writer = await asyncio.open_connection(sock=ours)
    reading = asyncio.ensure_future(reader.readexactly(10))
    theirs.send(b"x")
    await life.until(lambda: reader._buffer)  # type: ignore[attr-defined]
    reset(theirs)
    await life.attempt(reading)
    writer.close()
    await life.attempt(writer.wait_closed())


async def of_a_stream_that_drains(life: Life) -> None:
    ours, theirs = life.tcp()
    _, writer = await asyncio.open_connection(sock=ours)
    writer.write(BIG)
    draining = asyncio.ensure_future(writer.drain())
    await asyncio.sleep(0)
    reset(theirs)
    await life.attempt(draining)
    await life.attempt(writer.drain())
    writer.close()
    await life.attempt(writer.wait_closed())


async def of_sock_recv(life: Life) -> None:
    ours, theirs = life.tcp()
    receiving = asyncio.ensure_future(life.loop.sock_recv(ours, 1))
    await asyncio.sleep(0)
    reset(theirs)
    await life.attempt(receiving)


async def of_sock_sendall(life: Life) -> None:
    ours, theirs = life.tcp()
    sending = asyncio.ensure_future(life.loop.sock_sendall(ours, BIG))
    await life.loop.sock_recv(theirs, 1)
    reset(theirs)
    await life.attempt(sending)


async def of_sock_sendfile(life: Life) -> None:
    ours, theirs = life.tcp()
    file = life.bench.file(BIG)
    sending = asyncio.ensure_future(life.loop.sock_sendfile(ours, file))
    await life.loop.sock_recv(theirs, 1)
    reset(theirs)
    await life.attempt(sending)


POINTS: list[Callable[[Life], Coroutine[Any, Any, None]]] = [
    in_the_queue,
    in_connection_made,
    when_idle,
    behind_bytes,
    between_bytes,
    before_a_write,
    before_a_big_write,
    amid_a_big_write,
    when_paused,
    when_paused_and_written_to,
    when_half_closed_by_it,
    when_half_closed_by_us,
    amid_close,
    amid_write_eof,
    amid_sendfile,
    amid_a_client_s_handshake,
    amid_a_server_s_handshake,
    amid_start_tls,
    of_a_stream_that_is_read,
    of_a_stream_that_drains,
    of_sock_recv,
    of_sock_sendall,
    of_sock_sendfile,
]


@lru_cache
def expected(point: Callable[[Life], Coroutine[Any, Any, None]]) -> list[str]:
    return lived("asyncio", point)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.__name__)
def test_a_reset_is_met_as_asyncio_meets_it(
    point: Callable[[Life], Coroutine[Any, Any, None]], ours: str
) -> None:
    assert lived(ours, point) == expected(point)

"""The other end of a connection: a plain blocking socket, driven from a thread.

The peer uses only ``run_in_executor`` of the loop under test, so a bug in a
transport cannot be masked by the same bug at the other end.
"""

import asyncio
import os
import socket
import ssl
import struct
import tempfile
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Literal, TypeVar

from .protocols import Recorder, _Recording

P = TypeVar("P", bound=_Recording)
Wire = Literal["tcp", "unix"]

PEER_WAITS_AT_MOST_S = 15.0


class Peer:
    """A blocking socket whose waiting happens on another thread."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PEER_WAITS_AT_MOST_S)
        self.sock = sock

    def send(self, data: bytes) -> None:
        """Only for data that fits the socket's buffers."""
        assert self.sock.send(data) == len(data)

    async def sendall(self, data: bytes) -> None:
        await asyncio.to_thread(self.sock.sendall, data)

    async def recv(self, size: int) -> bytes:
        return await asyncio.to_thread(self.sock.recv, size)

    async def recv_exactly(self, size: int) -> bytes:
        return await asyncio.to_thread(self._recv_exactly, size)

    async def recv_to_end(self) -> bytes:
        """Everything until the end of file."""
        return await asyncio.to_thread(self._recv_to_end)

    def finish_sending(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Closes so that the other end gets a reset instead of an end of file."""
        linger = struct.pack("ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    def _recv_exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self.sock.recv(min(size - len(data), 1 << 20))
            assert more, f"the end came after {len(data)} of {size} bytes"
            data += more
        return bytes(data)

    def _recv_to_end(self) -> bytes:
        data = bytearray()
        while more := self.sock.recv(1 << 20):
            data += more
        return bytes(data)


class Place:
    """A server of the loop under test, and its address."""

    def __init__(self, server: asyncio.Server, address: Any, wire: Wire) -> None:
        self.server = server
        self.address = address
        self.wire = wire

    def connect(self) -> Peer:
        """Returns once the kernel has queued the connection, accepted or not."""
        family = socket.AF_INET if self.wire == "tcp" else socket.AF_UNIX
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(PEER_WAITS_AT_MOST_S)
        sock.connect(self.address)
        return Peer(sock)

    async def connect_tls(
        self, context: ssl.SSLContext
    ) -> tuple[asyncio.Transport, Recorder]:
        """A TLS client on the loop under test."""
        loop = asyncio.get_running_loop()
        options: Any = {"ssl": context, "server_hostname": "localhost"}
        if self.wire == "tcp":
            return await loop.create_connection(Recorder, *self.address, **options)
        return await loop.create_unix_connection(Recorder, self.address, **options)


@asynccontextmanager
async def serving(
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    wire: Wire = "tcp",
    **options: Any,
) -> AsyncIterator[Place]:
    """A server that is open during the block and closed after it."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        if wire == "tcp":
            server = await loop.create_server(
                protocol_factory, "127.0.0.1", 0, **options
            )
            address: Any = server.sockets[0].getsockname()
        else:
            address = os.path.join(folder, "socket")
            server = await loop.create_unix_server(protocol_factory, address, **options)
        try:
            yield Place(server, address, wire)
        finally:
            server.close()
            await server.wait_closed()


async def end(protocol: _Recording) -> None:
    # asyncio's abort() fails after a close() that had to flush.
    if not protocol.is_lost:
        protocol.transport.abort()
        await protocol.lost()


@asynccontextmanager
async def connected(
    protocol_factory: Callable[[], P], wire: Wire = "tcp"
) -> AsyncIterator[tuple[P, Peer]]:
    """One accepted connection: its protocol here, and its peer.

    After the block both ends are closed and ``connection_lost`` has been called.
    """
    protocols: list[P] = []

    def factory() -> P:
        protocols.append(protocol_factory())
        return protocols[-1]

    async with serving(factory, wire) as place:
        peer = place.connect()
        try:
            while not protocols:
                await asyncio.sleep(0)
            (protocol,) = protocols
            await protocol.until(lambda: protocol.is_made)
            try:
                yield protocol, peer
            finally:
                await end(protocol)
        finally:
            peer.close()


@asynccontextmanager
async def connecting(
    protocol_factory: Callable[[], P], wire: Wire = "tcp"
) -> AsyncIterator[tuple[P, Peer]]:
    """One connection made by the loop: its protocol, and the peer that accepted."""
    loop = asyncio.get_running_loop()
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_INET if wire == "tcp" else socket.AF_UNIX) as listener,
    ):
        protocol = protocol_factory()
        if wire == "tcp":
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            await loop.create_connection(lambda: protocol, *listener.getsockname())
        else:
            path = os.path.join(folder, "socket")
            listener.bind(path)
            listener.listen()
            await loop.create_unix_connection(lambda: protocol, path)
        listener.settimeout(PEER_WAITS_AT_MOST_S)
        peer = Peer(listener.accept()[0])
        try:
            yield protocol, peer
        finally:
            await end(protocol)
            peer.close()


async def a_round_trip_elsewhere() -> None:
    """Returns after bytes have made a few round trips on another connection.

    By then the loop has seen whatever the kernel had ready for any transport
    when this was called.
    """
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    protocol = Recorder()
    transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    peer = Peer(theirs)
    for number in range(1, 4):
        peer.send(b"x")
        await protocol.got(number)
        transport.write(b"y")
        await peer.recv_exactly(1)
    transport.close()
    await protocol.lost()
    peer.close()


@lru_cache(maxsize=16)
def pattern(size: int) -> bytes:
    """Bytes in which a lost, duplicated or misplaced piece shows up."""
    return array("I", range(size // 4 + 1)).tobytes()[:size]

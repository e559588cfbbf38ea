"""Streams of both engines, run one iteration at a time, with plain sockets as peers."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loops import LoopFactory, Reported, run_iterations

ENDS_WITHIN_S = 10.0


class Scene:
    """One loop that runs only when the test runs it, and its connections."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.peers: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []

    def run_iterations(self, count: int = 1) -> None:
        run_iterations(self.loop, count)

    def until(self, happened: Callable[[], Any]) -> None:
        """Sleeps while there is nothing to do, so a lost event fails the test."""

        async def wait() -> None:
            async with asyncio.timeout(ENDS_WITHIN_S):
                while not happened():
                    await asyncio.sleep(0.001)

        self.loop.run_until_complete(wait())

    def serve(
        self, factory: Callable[[], asyncio.BaseProtocol], **options: Any
    ) -> asyncio.Server:
        server: asyncio.Server = self.loop.run_until_complete(
            self.loop.create_server(factory, "127.0.0.1", 0, **options)
        )
        self._servers.append(server)
        return server

    def connect(self, server: asyncio.Server) -> socket.socket:
        """A peer whose connection the kernel has queued, accepted or not."""
        peer = socket.create_connection(server.sockets[0].getsockname())
        peer.settimeout(ENDS_WITHIN_S)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peers.append(peer)
        return peer

    def accept(self, server: asyncio.Server) -> tuple[socket.socket, Any]:
        """A peer and the stream that serves it."""
        before = set(self.loop.streams())
        peer = self.connect(server)
        self.until(lambda: set(self.loop.streams()) - before)
        (stream,) = set(self.loop.streams()) - before
        return peer, stream

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        for server in self._servers:
            server.close()
        for stream in self.loop.streams():
            stream.transport.abort()
        self.until(lambda: not self.loop.streams())
        self.run_iterations(2)
        self.loop.close()


@pytest.fixture
def scene(loop_factory: LoopFactory, reported: Reported) -> Iterator[Scene]:
    loop = loop_factory()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    scene = Scene(loop)
    yield scene
    scene.close()
    assert reported == [], "the loop reported what no test expected"


class Recorder(asyncio.Protocol):
    """Keeps every byte and the order of the calls."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.received = bytearray()
        self.exception: BaseException | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> bool | None:
        self.calls.append("eof")
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        self.exception = exc
        self.calls.append("lost")


class KeepsOpen(Recorder):
    """Keeps its half open after the peer's end of file."""

    def eof_received(self) -> bool:
        super().eof_received()
        return True

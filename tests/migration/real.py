"""Two loop threads, a small HTTP/1 server on each, and peers that check every byte."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from aioadapt import LoopThread, Migrator, MoveResult
from aioadapt.migration.connection import Connection

ENDS_WITHIN_S = 20.0


class TinyHttp(asyncio.Protocol):
    """Answers each request with its target, its body and its thread's name."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._unparsed = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._unparsed += data
        while b"\r\n\r\n" in self._unparsed:
            head, rest = self._unparsed.split(b"\r\n\r\n", 1)
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, value = line.split(b": ", 1)
                if name == b"Content-Length":
                    length = int(value)
            if len(rest) < length:
                return
            body, self._unparsed = rest[:length], rest[length:]
            self.answer(head.split(b" ")[1], body)

    def answer(self, target: bytes, body: bytes) -> None:
        here = threading.current_thread().name.encode()
        content = b"%s %s %s" % (target, here, body)
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
        )
        self.transport.write(content)


def request(target: str, body: bytes = b"") -> bytes:
    head = f"POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Peer:
    """A client that knows the correct answers."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=ENDS_WITHIN_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self.asked = 0

    def ask(self, body: bytes = b"") -> str:
        """Send one request; return the name of the thread that answered."""
        return self.hear(self.say(body), body)

    def say(self, body: bytes = b"") -> str:
        target = self.next_target()
        self.sock.sendall(request(target, body))
        return target

    def next_target(self) -> str:
        self.asked += 1
        return f"/{id(self)}/{self.asked}"

    def hear(self, target: str, body: bytes = b"") -> str:
        while b"\r\n\r\n" not in self._unread:
            self._read()
        head, self._unread = self._unread.split(b"\r\n\r\n", 1)
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        while len(self._unread) < length:
            self._read()
        content, self._unread = self._unread[:length], self._unread[length:]
        answered, thread, answered_body = content.split(b" ", 2)
        assert (answered.decode(), answered_body) == (target, body)
        return thread.decode()

    def hears_the_end(self) -> bool:
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.sock.close()

    def resets(self) -> None:
        # Linger time 0: the peer gets RST.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def _read(self) -> None:
        data = self.sock.recv(65536)
        assert data, "the connection ended before the answer"
        self._unread += data


class Place:
    """One loop thread and the server on it."""

    def __init__(self, thread: LoopThread, listener: socket.socket) -> None:
        self.thread = thread
        self._listener = listener
        self._server: asyncio.Server | None = None

    def serve(self, factory: Callable[[], asyncio.Protocol] = TinyHttp) -> None:
        """Accept from the shared listening socket."""

        async def serve() -> None:
            self._server = await self.thread.loop.create_server(
                factory, sock=self._listener.dup()
            )

        self.thread.submit(serve()).result(ENDS_WITHIN_S)

    def stop(self) -> None:
        async def close() -> None:
            if self._server is not None:
                self._server.close()
            for stream in self.thread.loop.streams():
                stream.transport.abort()  # type: ignore[attr-defined]

        if self.thread.running:
            self.thread.submit(close()).result(ENDS_WITHIN_S)
        self.thread.stop(ENDS_WITHIN_S)

    def run_iterations(self) -> None:
        """Wait for one complete iteration of its loop."""
        for _ in range(2):
            self.thread.submit(asyncio.sleep(0)).result(ENDS_WITHIN_S)


class Scenery:
    """Place a serves; place b does once ``serve`` is called."""

    def __init__(self, a: LoopThread, b: LoopThread, listener: socket.socket) -> None:
        self.a = Place(a, listener)
        self.b = Place(b, listener)
        self.migrator = Migrator()
        self._address = listener.getsockname()
        self._peers: list[Peer] = []

    def connect(self) -> tuple[Peer, Connection]:
        """A peer that has its first answer, and its connection."""
        before = set(self.a.thread.connections)
        peer = Peer(self._address)
        self._peers.append(peer)
        peer.ask()
        (new,) = set(self.a.thread.connections) - before
        return peer, new

    def connect_many(self, count: int) -> list[Peer]:
        return [self.connect()[0] for _ in range(count)]

    def move(self, connection: Connection, to: Place) -> MoveResult:
        """Retry until the server and the kernel are idle."""

        async def move() -> MoveResult:
            async with asyncio.timeout(ENDS_WITHIN_S):
                while True:
                    result = await self.migrator.move(connection, to=to.thread)
                    if result.moved or result.reason not in PASSING:
                        return result

        return asyncio.run(move())

    def until(self, happened: Callable[[], Any]) -> None:
        async def wait() -> None:
            async with asyncio.timeout(ENDS_WITHIN_S):
                while not happened():
                    await asyncio.to_thread(self.a.run_iterations)

        asyncio.run(wait())

    def close(self) -> None:
        for peer in self._peers:
            peer.close()
        self.a.stop()
        self.b.stop()


PASSING = {
    "bytes are being sent",
    "a request is being answered",
    "the server was still active",
    "out of time",
}


@contextmanager
def scenery(engine_a: str, engine_b: str) -> Iterator[Scenery]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    a, b = LoopThread(engine_a, name="a"), LoopThread(engine_b, name="b")
    with listener, a, b, closing(Scenery(a, b, listener)) as scenery:
        scenery.a.serve()
        yield scenery

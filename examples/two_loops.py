"""Two loops, and fifty live connections that move from one to the other and back.

    python examples/two_loops.py

Each loop thread runs an ordinary asyncio server on a duplicate of one listening
socket.  All that the clients notice is that another thread responds.
"""

import asyncio
import socket
import threading
from collections import Counter

import aioadapt

CLIENTS = 50
REQUEST = b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"


class Where(asyncio.Protocol):
    """Responds to each request with the name of the thread that serves it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            _, self.received = self.received.split(b"\r\n\r\n", 1)
            name = threading.current_thread().name.encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(name)
            self.transport.write(head + name)


async def serve(listener: socket.socket) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(Where, sock=listener)


async def close(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


class Client:
    """One keep-alive connection."""

    async def connect(self, address: tuple[str, int]) -> None:
        self.reader, self.writer = await asyncio.open_connection(*address)

    async def ask(self) -> str:
        self.writer.write(REQUEST)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.split(b"Content-Length: ")[1])
        return (await self.reader.readexactly(length)).decode()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def main(a: aioadapt.LoopThread, b: aioadapt.LoopThread) -> None:
    migrator = aioadapt.Migrator()
    clients = [Client() for _ in range(CLIENTS)]

    async def who_answers() -> dict[str, int]:
        return dict(Counter(await asyncio.gather(*(c.ask() for c in clients))))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Each gets a duplicate, because a server closes its socket when it stops.
        on_a = await asyncio.wrap_future(a.submit(serve(listener.dup())))
        for client in clients:
            await client.connect(listener.getsockname())
        print("answered by", await who_answers())

        on_b = await asyncio.wrap_future(b.submit(serve(listener.dup())))
        for source, target in (a, b), (b, a):
            report = await migrator.drain(source, to=target, timeout_s=5)
            print(
                f"{source.engine} > {target.engine}: {report.moved} moved, "
                f"left {dict(report.left)}, pause p50 {report.pause_s.p50 * 1e3:.2f} ms, "
                f"p99 {report.pause_s.p99 * 1e3:.2f} ms"
            )
            print("answered by", await who_answers())

        for client in clients:
            await client.close()
        for thread, server in (a, on_a), (b, on_b):
            await asyncio.wrap_future(thread.submit(close(server)))


if __name__ == "__main__":
    with (
        aioadapt.LoopThread("epoll", name="a") as a,
        aioadapt.LoopThread("auto", name="b") as b,
    ):
        asyncio.run(main(a, b))

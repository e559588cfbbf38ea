"""A small server that answers as the demo's does, except where a test says otherwise.

It is written apart from the demo's own application and wire format, so that a
mistake in those is not repeated here.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Asked:
    connection: int
    sequence: int
    body: bytes
    answer: bytes  # the right one
    writer: asyncio.StreamWriter

    @property
    def is_the_one(self) -> bool:
        """The request that tests choose for something to go wrong with."""
        return self.connection == 1 and self.sequence == 5


Respond = Callable[[Asked], Awaitable[None]]


async def rightly(asked: Asked) -> None:
    asked.writer.write(asked.answer)
    await asked.writer.drain()


class FaultyServer:
    """Serves from a thread of its own, as long as the ``with`` lasts."""

    def __init__(self, respond: Respond = rightly) -> None:
        self._respond = respond
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.address = ("127.0.0.1", 0)
        self.goodbyes = 0  # requests that carried connection: close
        self.chunked = 0  # requests whose body came in chunks

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._handlers: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0, limit=1 << 20)
        self.address = server.sockets[0].getsockname()
        self._listening.set()
        await self._stop.wait()
        server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._handlers.add(me)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._handlers.discard(me)
            writer.close()

    async def _serve_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request_line, *headers = head.rstrip().split("\r\n")
        _, connection, sequence = request_line.split(" ")[1].split("/")
        last = "connection: close" in headers
        chunked = "transfer-encoding: chunked" in headers
        if chunked:
            body = await _read_chunks(reader)
            middle = (len(body) + 1) // 2
            parts = [part for part in (body[:middle], body[middle:]) if part]
            length = "transfer-encoding: chunked\r\n"
            content = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts)
            content += b"0\r\n\r\n"
        else:
            sizes = [h.split(": ")[1] for h in headers if h.startswith("content-le")]
            body = content = await reader.readexactly(int(sizes[0]) if sizes else 0)
            length = f"content-length: {len(body)}\r\n"
        close = "connection: close\r\n" if last else ""
        answer = (
            "HTTP/1.1 200 OK\r\nx-engine: epoll\r\n"
            f"x-connection: {connection}\r\nx-sequence: {sequence}\r\n"
            f"{length}{close}\r\n"
        ).encode() + content
        self.goodbyes += last
        self.chunked += chunked
        await self._respond(Asked(int(connection), int(sequence), body, answer, writer))
        return not last


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    return body

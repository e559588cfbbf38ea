"""A small server that answers as the experiment's application does, except where told.

It is written apart from that application and its wire format, so that a
mistake in those is not repeated here.
"""

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

PATTERN = hashlib.shake_128(b"aioadapt").digest(1 << 20)


def answer(
    connection: int, sequence: int, size: int, *, status: str = "200 OK"
) -> bytes:
    body = f"{connection:010d}/{sequence:012d}\n".encode() + PATTERN[24:size]
    return f"HTTP/1.1 {status}\r\ncontent-length: {size}\r\n\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Asked:
    connection: int
    sequence: int
    size: int
    writer: asyncio.StreamWriter

    @property
    def right(self) -> bytes:
        return answer(self.connection, self.sequence, self.size)

    @property
    def is_the_one(self) -> bool:
        """The request that tests choose for something to go wrong with."""
        return self.connection == 1 and self.sequence == 5


Respond = Callable[[Asked], Awaitable[None]]


async def rightly(asked: Asked) -> None:
    asked.writer.write(asked.right)
    await asked.writer.drain()


def wrongly(respond: Respond) -> Respond:
    """*respond* to the one, and rightly to everything else."""

    async def either(asked: Asked) -> None:
        await (respond if asked.is_the_one else rightly)(asked)

    return either


def with_bytes(make: Callable[[Asked], bytes]) -> Respond:
    async def respond(asked: Asked) -> None:
        asked.writer.write(make(asked))
        await asked.writer.drain()

    return wrongly(respond)


@dataclass
class FaultyServer:
    """Serves from a thread of its own, as long as the ``with`` lasts."""

    respond: Respond = rightly
    port: int = 0
    accepted: list[int] = field(default_factory=list)  # the clients' ports
    asked_by: set[int] = field(default_factory=set)  # the same, since last cleared

    def __enter__(self) -> Self:
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
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
        server = await asyncio.start_server(
            self._handle, "127.0.0.1", 0, backlog=512, limit=1 << 16
        )
        self.port = server.sockets[0].getsockname()[1]
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
        client = writer.get_extra_info("peername")[1]
        self.accepted.append(client)
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.asked_by.add(client)
                _, connection, sequence, size = head.split(" ")[1].split("/")
                await self.respond(
                    Asked(int(connection), int(sequence), int(size), writer)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._handlers.discard(me)
            writer.close()

"""A small server that answers correctly, except where a test says otherwise.

Subclasses parse requests and build the correct answers.  They share no code with the
package's applications and wire formats, so a mistake in those is not repeated here.
"""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Asked:
    connection: int
    sequence: int
    size: int  # of the body of the answer, in bytes
    right: bytes  # the whole answer
    writer: asyncio.StreamWriter
    last: bool = False  # the client asks to close the connection after this

    @property
    def is_the_one(self) -> bool:
        """Whether this is the request for which something goes wrong."""
        return self.connection == 1 and self.sequence == 5


Respond = Callable[[Asked], Awaitable[None]]


async def rightly(asked: Asked) -> None:
    asked.writer.write(asked.right)
    await asked.writer.drain()


def wrongly(respond: Respond) -> Respond:
    """*respond* to that one request, and correctly to all others."""

    async def either(asked: Asked) -> None:
        await (respond if asked.is_the_one else rightly)(asked)

    return either


class FaultyServer(ABC):
    """Serves on its own thread during the ``with`` block."""

    def __init__(self, respond: Respond = rightly) -> None:
        self._respond = respond
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._handlers: set[asyncio.Task[None]] = set()
        self.address = ("127.0.0.1", 0)
        self.accepted = 0  # connections
        self.was_asked_the_one = False

    @abstractmethod
    async def read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Asked:
        """Read the next request of this connection."""

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
        server = await asyncio.start_server(
            self._handle, "127.0.0.1", 0, backlog=512, limit=1 << 20
        )
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
        self.accepted += 1
        try:
            last = False
            while not last and not writer.is_closing():
                asked = await self.read(reader, writer)
                self.was_asked_the_one |= asked.is_the_one
                await self._respond(asked)
                last = asked.last
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._handlers.discard(me)
            writer.close()

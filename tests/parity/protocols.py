"""Protocols that record what happens to them, and let a test wait for it."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Changing:
    """Something whose state a coroutine can wait for."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, is_so: Callable[[], Any]) -> None:
        while not is_so():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter


class _Recording(Changing, asyncio.BaseProtocol):
    """The shared base of the recorders."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.received = bytearray()
        self.exception: BaseException | None = None

    @property
    def is_made(self) -> bool:
        return "connection_made" in self.calls

    @property
    def is_lost(self) -> bool:
        return "connection_lost" in self.calls

    async def made(self) -> asyncio.Transport:
        await self.until(lambda: self.is_made)
        return self.transport

    async def lost(self) -> BaseException | None:
        await self.until(lambda: self.is_lost)
        return self.exception

    async def got(self, size: int) -> bytes:
        await self.until(lambda: len(self.received) >= size)
        return bytes(self.received)

    def note(self, call: str) -> None:
        self.calls.append(call)
        self.changed()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.note("connection_made")

    def eof_received(self) -> bool | None:
        self.note("eof_received")
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        self.exception = exc
        self.note("connection_lost")

    def pause_writing(self) -> None:
        self.note("pause_writing")

    def resume_writing(self) -> None:
        self.note("resume_writing")


class Recorder(_Recording, asyncio.Protocol):
    """Keeps every byte and the order of the calls; consecutive data counts as one."""

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        self.received += data
        if self.calls[-1] == "data_received":
            self.changed()
        else:
            self.note("data_received")


class BufferedRecorder(_Recording, asyncio.BufferedProtocol):
    """The same for BufferedProtocol, with a buffer that the protocol owns."""

    def __init__(self, buffer_size: int = 64 * 1024) -> None:
        super().__init__()
        self.buffer = bytearray(buffer_size)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert nbytes > 0
        self.received += memoryview(self.buffer)[:nbytes]
        if self.calls[-1] == "buffer_updated":
            self.changed()
        else:
            self.note("buffer_updated")


class Echo(Recorder):
    """Sends back what it receives, and reads no faster than it can send."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.transport.resume_reading()


class BufferedEcho(BufferedRecorder):
    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        self.transport.write(bytes(memoryview(self.buffer)[:nbytes]))

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.transport.resume_reading()

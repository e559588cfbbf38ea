"""Protocols that log every call, and then do what the program wants done in it."""

import asyncio
from typing import Any

from .world import Connection, pattern

BUFFER_BYTES = 4096


class _Recording(asyncio.BaseProtocol):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.protocol = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.transport = transport
        self._connection.called("connection_made")

    def connection_lost(self, error: Exception | None) -> None:
        self._connection.is_lost = True
        words = "nothing" if error is None else type(error).__name__
        self._connection.called("connection_lost", words)

    def pause_writing(self) -> None:
        self._connection.called("pause_writing")

    def resume_writing(self) -> None:
        self._connection.called("resume_writing")

    def eof_received(self) -> Any:
        return self._connection.called("eof_received")

    def _took(self, callback: str, data: bytes | bytearray) -> Any:
        connection = self._connection
        size = len(data)
        if data != pattern(connection.received, size):
            connection.world.log.add(connection.name, "corrupt")
        connection.received += size
        return connection.called(callback, size)


class Recorder(_Recording, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self._took("data_received", data)


class BufferedRecorder(_Recording, asyncio.BufferedProtocol):
    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._buffer = bytearray(BUFFER_BYTES)

    def get_buffer(self, sizehint: int) -> Any:
        # How often it is asked depends on the loop's own buffers: not logged.
        given = self._connection.react("get_buffer")
        return self._buffer if given is None else given

    def buffer_updated(self, nbytes: int) -> None:
        self._took("buffer_updated", self._buffer[:nbytes])


PROTOCOLS: dict[str, Any] = {"plain": Recorder, "buffered": BufferedRecorder}

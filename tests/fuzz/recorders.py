"""Protocols that log every call, and then do what the program wants done in it."""

import asyncio
from typing import Any

from .actors import Connection, Endpoint, WithTransport
from .log import in_words
from .peers import is_whole

BUFFER_BYTES = 4096


class _Recording(asyncio.BaseProtocol):
    def __init__(self, actor: WithTransport) -> None:
        self._actor = actor
        actor.protocol = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._actor.transport = transport
        self._actor.called("connection_made")

    def connection_lost(self, error: Exception | None) -> None:
        self._actor.is_lost = True
        words = "nothing" if error is None else type(error).__name__
        self._actor.called("connection_lost", words)

    def pause_writing(self) -> None:
        self._actor.called("pause_writing")

    def resume_writing(self) -> None:
        self._actor.called("resume_writing")


class _StreamRecording(_Recording):
    _actor: Connection

    def eof_received(self) -> Any:
        return self._actor.called("eof_received")

    def _took(self, callback: str, data: bytes | memoryview) -> Any:
        return self._actor.called(callback, self._actor.took(data))


class Recorder(_StreamRecording, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self._took("data_received", data)


class BufferedRecorder(_StreamRecording, asyncio.BufferedProtocol):
    def __init__(self, actor: Connection) -> None:
        super().__init__(actor)
        # asyncio's TLS slices it, which would copy a bytearray.
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    def get_buffer(self, sizehint: int) -> Any:
        # How often it is asked depends on the loop's own buffers: not logged.
        given = self._actor.react("get_buffer")
        return self._buffer if given is None else given

    def buffer_updated(self, nbytes: int) -> None:
        self._took("buffer_updated", self._buffer[:nbytes])


class DatagramRecorder(_Recording, asyncio.DatagramProtocol):
    _actor: Endpoint

    def datagram_received(self, data: bytes, address: Any) -> None:
        state = "" if is_whole(data) else "corrupt"
        place = data[0] if data else "-"
        self._actor.called(
            "datagram_received", place, len(data), state, type(address).__name__
        )

    def error_received(self, error: Exception) -> None:
        self._actor.called("error_received", in_words(error))


PROTOCOLS: dict[str, Any] = {
    "plain": Recorder,
    "buffered": BufferedRecorder,
    "datagram": DatagramRecorder,
}

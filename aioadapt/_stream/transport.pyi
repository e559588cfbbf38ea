from asyncio import BaseProtocol, Future, Server, Transport
from contextvars import Context
from socket import socket
from typing import Any

from aioadapt._stream.stream import Stream

class StreamTransport(Transport):
    _stream: Stream
    def __init__(self, stream: Stream) -> None: ...
    def _make_empty_waiter(self) -> Future[None]: ...
    def _reset_empty_waiter(self) -> None: ...
    def __del__(self, _warn: Any = ...) -> None: ...

def connect_stream(
    loop: Any,
    sock: socket,
    protocol: BaseProtocol,
    waiter: Future[None] | None,
    extra: dict[str, Any] | None,
    server: Server | None,
    context: Context | None = None,
) -> StreamTransport: ...

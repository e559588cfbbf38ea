from asyncio import BaseProtocol, DatagramTransport, Future, Transport
from socket import socket
from typing import Any

class NativeDatagramTransport(Transport, DatagramTransport):
    def __init__(self, endpoint: Any, loop: Any) -> None: ...
    def __del__(self, _warn: Any = ...) -> None: ...

def connect_datagrams(
    loop: Any,
    sock: socket,
    protocol: BaseProtocol,
    remote: Any,
    waiter: Future[None] | None,
    extra: dict[str, Any] | None,
) -> NativeDatagramTransport: ...

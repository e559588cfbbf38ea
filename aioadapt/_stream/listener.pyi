from asyncio import BaseProtocol, Server
from collections.abc import Callable
from contextvars import Context
from socket import socket
from ssl import SSLContext
from typing import Any

from aioadapt._stream.accepting import ConnectionMaker
from aioadapt._stream.stream import Released, Stream

class Listener(ConnectionMaker):
    @property
    def sockname(self) -> Any: ...
    def __init__(
        self,
        loop: Any,
        sock: socket,
        protocol_factory: Callable[[], BaseProtocol],
        server: Server | None,
        sslcontext: SSLContext | None,
        backlog: int,
        timeouts: tuple[float | None, ...],
        context: Context | None = None,
    ) -> None: ...
    @property
    def sock(self) -> socket: ...
    @property
    def kept_open(self) -> socket | None: ...
    @property
    def fd(self) -> int: ...
    @property
    def is_accepting(self) -> bool: ...
    def resume(self) -> None: ...
    def pause(self) -> None: ...

class AcceptWatch: ...

def adopt(
    loop: Any,
    released: Released,
    protocol_factory: Callable[[], BaseProtocol],
    server: Server | None,
) -> Stream: ...

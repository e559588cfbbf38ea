"""Sockets whose methods have to be called: those of a class that overrides some.

asyncio's transports and servers call methods of the socket object that they were given.
Ours make system calls with its descriptor, which is the same only if the methods are
those of socket.socket.
"""

from __future__ import annotations

import contextvars
import socket
from typing import Any

from .stdlib_private import TransportSocket

#: What asyncio's transports and servers call on a socket and ours do by system calls.
ADDRESSES = ("getsockname", "getpeername")
STREAM_CALLS = ("recv", "recv_into", "send", "sendmsg", "shutdown", *ADDRESSES)
DATAGRAM_CALLS = ("recvfrom", "send", "sendto", *ADDRESSES)
LISTENER_CALLS = ("accept", "_accept")


def has_own(calls: tuple[str, ...], sock: Any) -> bool:
    """Are some of these methods not those of socket.socket?

    Such a socket is left to asyncio's transport or server, which calls them.  Wrappers
    that forward every call have none of their own.
    """
    kind = type(sock)
    if kind is socket.socket or isinstance(sock, TransportSocket):
        return False
    return any(
        name in getattr(sock, "__dict__", ())
        or getattr(kind, name, None) not in (None, getattr(socket.socket, name))
        for name in calls
    )


def given(context: contextvars.Context | None) -> dict[str, contextvars.Context]:
    """An argument that asyncio takes in new versions of Python only."""
    return {} if context is None else {"context": context}

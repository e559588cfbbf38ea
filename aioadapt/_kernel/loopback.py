"""A listening socket and connections to it, to try accepting with."""

import socket
import struct

from .findings import PASSING

# A firewall may swallow what goes over loopback: then do not wait for long.
CONNECT_TIMEOUT_S = 0.25


def connect_to(listener: socket.socket) -> socket.socket:
    """A client of *listener*, with the connection waiting to be accepted."""
    client = socket.socket(listener.family, socket.SOCK_STREAM)
    try:
        client.settimeout(CONNECT_TIMEOUT_S)
        # Leave by a reset: no port is left in TIME_WAIT.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.connect(listener.getsockname())
    except BaseException:
        client.close()
        raise
    return client


def listener_and_client() -> tuple[socket.socket, socket.socket]:
    """A listener and its first client: over TCP where loopback works, else Unix."""
    try:
        return _pair(socket.AF_INET, ("127.0.0.1", 0))
    except OSError as error:
        if error.errno in PASSING:
            raise
    # For an empty name the kernel picks one in its abstract namespace.
    return _pair(socket.AF_UNIX, "")


def _pair(
    family: socket.AddressFamily, address: tuple[str, int] | str
) -> tuple[socket.socket, socket.socket]:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.bind(address)
        listener.listen()
        return listener, connect_to(listener)
    except BaseException:
        listener.close()
        raise

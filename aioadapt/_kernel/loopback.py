"""A listening socket and connections to it, for probing accept."""

import socket
import struct

from .findings import PASSING

# A firewall may drop packets on loopback; do not wait long for it.
CONNECT_TIMEOUT_S = 0.25


def connect_to(listener: socket.socket) -> socket.socket:
    """Connect a client to *listener*; the connection is left waiting to be accepted."""
    client = socket.socket(listener.family, socket.SOCK_STREAM)
    try:
        client.settimeout(CONNECT_TIMEOUT_S)
        # Close with a reset, so that no port is left in TIME_WAIT.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.connect(listener.getsockname())
    except BaseException:
        client.close()
        raise
    return client


def listener_and_client() -> tuple[socket.socket, socket.socket]:
    """A listener and its first client: over TCP if loopback works, else over Unix."""
    try:
        return _pair(socket.AF_INET, ("127.0.0.1", 0))
    except OSError as error:
        if error.errno in PASSING:
            raise
    # Given an empty name, the kernel picks one in the abstract namespace.
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

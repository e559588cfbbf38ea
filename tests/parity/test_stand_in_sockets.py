"""Socket wrappers that forward every call until they are closed.

gunicorn gives its workers such objects, and servers pass them to the loop.
"""

import os
import socket
from asyncio import AbstractEventLoop
from typing import Any, cast

import pytest
from loops import Run

from .protocols import Echo, Recorder


class StandIn:
    """Like gunicorn's: once closed it has no socket to forward to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock: socket.socket | None = sock
        self.closed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def close(self) -> None:
        self.closed += 1
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_server_serves_on_one_and_closes_it(
    loop: AbstractEventLoop, run: Run
) -> None:
    real = socket.create_server(("127.0.0.1", 0))
    fd, address = real.fileno(), real.getsockname()
    stand_in = StandIn(real)

    async def main() -> None:
        server = await loop.create_server(Echo, sock=cast(socket.socket, stand_in))
        transport, protocol = await loop.create_connection(Recorder, *address)
        transport.write(b"hello")
        assert await protocol.got(5) == b"hello"
        transport.close()
        await protocol.lost()
        server.close()
        await server.wait_closed()

    run(main())
    assert stand_in.closed == 1
    assert not is_open(fd)


def test_a_transport_uses_one_and_closes_it(loop: AbstractEventLoop, run: Run) -> None:
    real, peer = socket.socketpair()
    fd = real.fileno()
    stand_in = StandIn(real)

    async def main() -> None:
        transport, protocol = await loop.create_connection(
            Recorder, sock=cast(socket.socket, stand_in)
        )
        transport.write(b"hello")
        transport.close()
        await protocol.lost()

    with peer:
        run(main())
        assert peer.recv(100) == b"hello"
        assert peer.recv(100) == b""
    assert stand_in.closed == 1
    assert not is_open(fd)


@pytest.mark.ours_only
def test_one_that_its_owner_closes_stays_open_for_the_transport(
    loop: AbstractEventLoop, run: Run
) -> None:
    real, peer = socket.socketpair()
    fd = real.fileno()
    stand_in = StandIn(real)

    async def main() -> None:
        transport, protocol = await loop.create_connection(
            Recorder, sock=cast(socket.socket, stand_in)
        )
        stand_in.close()
        assert is_open(fd)
        peer.send(b"for us")
        assert await protocol.got(6) == b"for us"
        transport.close()
        await protocol.lost()

    with peer:
        run(main())
        assert peer.recv(100) == b""
    assert not is_open(fd)

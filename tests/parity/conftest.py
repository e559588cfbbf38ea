"""What the tests of streams run over."""

import socket
from collections.abc import Iterator

import pytest

from .peers import Wire


@pytest.fixture(params=["tcp", "unix"])
def wire(request: pytest.FixtureRequest) -> Wire:
    wire: Wire = request.param
    return wire


# Held while the test runs, so that nobody else is given it and listens there.


@pytest.fixture
def closed_port(nothing_is_left: None) -> Iterator[tuple[str, int]]:
    """Where nobody listens for TCP."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@pytest.fixture
def closed_udp_port(nothing_is_left: None) -> Iterator[tuple[str, int]]:
    """Where nobody hears: who holds it is connected to itself."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        yield sock.getsockname()

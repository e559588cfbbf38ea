"""Rings and pollers that tests run step by step, and sockets for them."""

import socket
from collections.abc import Iterator

import pytest

import aioadapt
from aioadapt._testing.stepping import StepPoller, StepRing

Pair = tuple[socket.socket, socket.socket]
SUPPORT = aioadapt.uring_support()

COMPLETES_WITHIN_S = 10.0


def drain(ring: StepRing) -> None:
    """Dispatch completions until the kernel holds nothing, not even cancels."""
    while ring.in_kernel or ring.cancels_in_flight:
        assert ring.wait(COMPLETES_WITHIN_S), f"{ring!r} waits for ever"
        ring.dispatch()


@pytest.fixture
def ring(nothing_is_left: None) -> Iterator[StepRing]:
    """Checks afterwards that the kernel holds nothing."""
    if not SUPPORT.available:
        pytest.skip(SUPPORT.reason)
    ring = StepRing()
    yield ring
    ring.dispatch()
    while ring.cancels_in_flight:
        ring.wait(COMPLETES_WITHIN_S)
        ring.dispatch()
    assert ring.in_kernel == 0, "an operation was left in the kernel"
    assert ring.cancelling == 0
    ring.close()


@pytest.fixture
def poller(nothing_is_left: None) -> Iterator[StepPoller]:
    """Checks afterwards that it watches nothing."""
    poller = StepPoller()
    yield poller
    assert poller.watched == 0, "a watch was left registered"
    poller.close()


@pytest.fixture(params=["tcp", "unix"])
def pair(request: pytest.FixtureRequest, nothing_is_left: None) -> Iterator[Pair]:
    """Two ends of a connection: ours and the peer's."""
    if request.param == "unix":
        ours, peer = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            peer, _ = listener.accept()
    ours.settimeout(COMPLETES_WITHIN_S)
    peer.settimeout(COMPLETES_WITHIN_S)
    with ours, peer:
        yield ours, peer

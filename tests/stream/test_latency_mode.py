"""Latency mode: short iterations, with answers sent before each one ends."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from .conftest import Recorder, Scene

pytestmark = pytest.mark.ours_only

SHORT = 16  # EVENTS_PER_SHORT_ITERATION


class Asks(Recorder):
    """Calls ``yield_to`` for another loop when it receives data, and echoes it."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        self.other = other
        self.heard_in = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        loop: Any = asyncio.get_running_loop()
        self.heard_in = loop.stats().iterations
        loop.yield_to(self.other)
        self.transport.write(data)


def test_an_iteration_that_began_as_a_long_one_ends_early_when_another_loop_waits(
    scene: Scene,
) -> None:
    other = type(scene.loop)()
    made: list[Asks] = []

    def factory() -> Asks:
        made.append(Asks(other))
        return made[-1]

    server = scene.serve(factory)
    peers = [scene.accept(server)[0] for _ in range(3 * SHORT)]
    for peer in peers:
        peer.sendall(b"x")
    scene.until(lambda: all(protocol.received for protocol in made))

    heard_in = Counter(protocol.heard_in for protocol in made)
    assert max(heard_in.values()) <= SHORT
    assert [peer.recv(10) for peer in peers] == [b"x"] * len(peers)
    other.close()


def test_a_receive_that_ran_out_of_buffers_in_a_short_iteration_is_armed_again(
    scene: Scene,
) -> None:
    """Completions that were reaped but not yet dispatched hold all the buffers, so
    the receive has to wait for more than one iteration."""
    other = type(scene.loop)()
    protocols: list[Asks] = []

    def factory() -> Asks:
        protocols.append(Asks(other))
        return protocols[-1]

    count = 400  # there are 256 buffers
    server = scene.serve(factory, backlog=count)
    peers = [scene.connect(server) for _ in range(count)]
    scene.until(lambda: len(protocols) == count)
    scene.run_iterations(2)
    for number, peer in enumerate(peers):
        peer.send(b"from %d" % number)

    expected = {b"from %d" % number for number in range(count)}
    scene.until(lambda: {bytes(p.received) for p in protocols} == expected)
    for peer in peers:
        peer.send(b"again")
    scene.until(lambda: all(p.received.endswith(b"again") for p in protocols))
    other.close()

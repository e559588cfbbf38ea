"""Latency mode: short iterations, with answers sent before each one ends."""

import asyncio
import socket
from typing import Any

import pytest

from .conftest import Recorder, Scene
from .http1 import REQUEST, Handler, Http1Protocol, answer_to

pytestmark = pytest.mark.ours_only

SHORT = 16  # EVENTS_PER_SHORT_ITERATION


class Asks(Recorder):
    """Calls ``yield_to`` for another loop when it receives data, and echoes it."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        self.other = other

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        asyncio.get_running_loop().yield_to(self.other)  # type: ignore[attr-defined]
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
    heard_before = most = 0
    for _ in range(20):
        scene.run_iterations()
        heard = sum(bool(protocol.received) for protocol in made)
        most = max(most, heard - heard_before)
        heard_before = heard

    assert heard_before == len(peers), "nobody is forgotten"
    assert most <= SHORT
    assert [peer.recv(10) for peer in peers] == [b"x"] * len(peers)
    other.close()


def test_the_answers_of_those_that_are_to_leave_are_sent_when_the_iteration_ends(
    scene: Scene,
) -> None:
    """With many writers too: by a later completion the next request may be there."""
    scene.loop.watch_http1 = True
    server = scene.serve(Http1Protocol)
    accepted = [scene.accept(server) for _ in range(SHORT)]
    peers = [peer for peer, _ in accepted]
    all_ask(scene, peers)
    all_ask(scene, peers)

    for _, stream in accepted:
        stream.release(Handler(lambda: False))
    before = scene.loop.stats().ring_sends
    all_ask(scene, peers)
    all_ask(scene, peers)

    assert scene.loop.stats().ring_sends == before
    for _, stream in accepted:
        stream.cancel_release()


def all_ask(scene: Scene, peers: list[socket.socket]) -> None:
    for peer in peers:
        peer.setblocking(False)
        peer.sendall(REQUEST)
    expected = answer_to(b"/one")
    waiting = set(peers)

    def all_heard() -> bool:
        for peer in list(waiting):
            try:
                assert peer.recv(len(expected)) == expected
            except BlockingIOError:
                continue
            waiting.remove(peer)
        return not waiting

    scene.until(all_heard)


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

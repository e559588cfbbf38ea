"""What a loop counts: answers, their latency, events, bytes and errors."""

import socket
import struct
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioadapt._testing.inside import epoll_waits
from aioadapt.stats import LATENCY_BOUNDS_S, LoopStats, latency_percentile_s

from .conftest import Recorder, Scene
from .http1 import NEXT, REQUEST, Http1Protocol, answer_to

ours_only = pytest.mark.ours_only


class Slow(Http1Protocol):
    """Answers only when ``answer_now`` is called."""

    def answer(self, target: bytes) -> None:
        self.waiting = target

    def answer_now(self) -> None:
        self.transport.write(answer_to(self.waiting))


def stats_of(scene: Scene) -> LoopStats:
    stats: LoopStats = scene.loop.stats()
    return stats


def has_received(scene: Scene, size: int) -> bool:
    return stats_of(scene).bytes_in == size


def hear(scene: Scene, peer: socket.socket, size: int) -> None:
    """Run the loop until *peer* has received *size* bytes."""
    peer.setblocking(False)
    heard = bytearray()

    def has_come() -> bool:
        try:
            heard.extend(peer.recv(4096))
        except BlockingIOError:
            pass
        return len(heard) >= size

    scene.until(has_come)
    assert len(heard) == size


@ours_only
def test_answers_are_counted_where_connections_are_watched(scene: Scene) -> None:
    scene.loop.watch_http1 = True
    peer, _ = scene.accept(scene.serve(Http1Protocol))
    for request, target in ((REQUEST, b"/one"), (NEXT, b"/two")):
        peer.sendall(request)
        hear(scene, peer, len(answer_to(target)))

    # Two requests in one segment, and part of a third.
    peer.sendall(REQUEST * 2 + NEXT[:10])
    hear(scene, peer, 2 * len(answer_to(b"/one")))

    stats = stats_of(scene)
    assert stats.requests == 4
    assert sum(stats.latencies) == 4
    assert 0 < stats.answering_s < 10


@ours_only
def test_answers_of_connections_that_are_not_watched_are_not_counted(
    scene: Scene,
) -> None:
    peer, _ = scene.accept(scene.serve(Http1Protocol))
    peer.sendall(REQUEST)
    hear(scene, peer, len(answer_to(b"/one")))

    stats = stats_of(scene)
    assert (stats.requests, stats.answering_s, sum(stats.latencies)) == (0, 0.0, 0)


@ours_only
def test_an_answer_took_from_its_request_to_its_end(scene: Scene) -> None:
    scene.loop.watch_http1 = True
    protocols: list[Slow] = []

    def factory() -> Slow:
        protocols.append(Slow())
        return protocols[-1]

    peer, _ = scene.accept(scene.serve(factory))
    asked_at = scene.loop.time()
    peer.sendall(REQUEST)
    scene.until(lambda: protocols[0].answered)
    assert stats_of(scene).requests == 0, "it has not been answered yet"

    seen_at = scene.loop.time()
    scene.until(lambda: scene.loop.time() >= seen_at + 0.03)
    protocols[0].answer_now()
    hear(scene, peer, len(answer_to(b"/one")))

    stats = stats_of(scene)
    took_s = stats.answering_s
    assert 0.03 <= took_s <= scene.loop.time() - asked_at
    bound_s = latency_percentile_s(stats.latencies, 50)
    assert took_s < bound_s <= took_s * 1.25


@ours_only
@pytest.mark.steady_engine
def test_events_are_what_the_kernel_found_and_not_what_timers_do(scene: Scene) -> None:
    peer, _ = scene.accept(scene.serve(Recorder))
    before = stats_of(scene)
    scene.run_iterations(20)
    idle = stats_of(scene)
    for number in range(10):
        peer.sendall(b"x")
        scene.until(partial(has_received, scene, number + 1))
    after = stats_of(scene)

    assert idle.iterations == before.iterations + 20
    assert idle.events == before.events
    assert after.events - idle.events == 10
    assert after.bytes_in - idle.bytes_in == 10


@ours_only
def test_a_peer_that_has_gone_is_no_error(scene: Scene) -> None:
    server = scene.serve(Recorder)
    # A linger time of zero: closing sends RST.
    no_time = struct.pack("ii", 1, 0)
    for _ in range(3):
        peer, stream = scene.accept(server)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_time)
        peer.close()
        scene.until(partial(getattr, stream, "closed"))

    assert stats_of(scene).errors == 0


# -- the histogram, without a loop


def test_the_bounds_grow_by_a_quarter_at_most_from_four_microseconds_on() -> None:
    assert LATENCY_BOUNDS_S[:5] == pytest.approx((1e-6, 2e-6, 3e-6, 4e-6, 5e-6))
    for low, high in pairwise(LATENCY_BOUNDS_S[3:]):
        assert low < high <= low * 1.25 + 1e-12
    assert 30 < LATENCY_BOUNDS_S[-1] < 120, "a minute, about"


def test_of_no_answers_every_percentile_is_zero() -> None:
    assert latency_percentile_s((), 50) == 0.0
    assert latency_percentile_s((0,) * 101, 99) == 0.0


def test_what_took_longer_than_the_last_bound_is_given_that() -> None:
    counts = (0,) * len(LATENCY_BOUNDS_S) + (3,)

    assert latency_percentile_s(counts, 50) == LATENCY_BOUNDS_S[-1]


@given(
    st.lists(st.integers(0, len(LATENCY_BOUNDS_S) - 1), min_size=1),
    st.sampled_from([1, 50, 90, 99, 99.9, 100]),
)
def test_a_percentile_is_the_bound_of_the_answer_of_that_rank(
    places: list[int], percent: float
) -> None:
    counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
    for place in places:
        counts[place] += 1

    bound_s = latency_percentile_s(counts, percent)

    within = sum(LATENCY_BOUNDS_S[place] <= bound_s for place in places)
    below = sum(LATENCY_BOUNDS_S[place] < bound_s for place in places)
    assert below < len(places) * percent / 100 <= within + 1e-9


@ours_only
def test_a_ring_asks_its_epoll_only_when_the_epoll_has_something(
    scene: Scene,
) -> None:
    """As for a client, whose descriptor is watched until it has connected."""
    if scene.loop.engine == "epoll":
        pytest.skip("it waits on its epoll")
    ours, theirs = socket.socketpair()
    scene.loop.add_reader(ours, scene.loop.remove_reader, ours)
    theirs.send(b"x")
    scene.until(lambda: not scene.loop.remove_reader(ours))
    before = epoll_waits(scene.loop)

    scene.run_iterations(10)

    assert epoll_waits(scene.loop) == before
    ours.close()
    theirs.close()

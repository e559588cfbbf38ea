"""Drains that end before all connections have moved, and what is counted."""

import pytest

from aioadapt import DrainReport, LoopStoppedError, Pauses

from .conftest import Asked, Scene
from .scripted import (
    ScriptedStream,
    connected,
    peer_sees_the_end,
)

# -- Timeout.


def test_those_still_busy_stay_and_are_counted_with_their_reasons(
    scene: Scene,
) -> None:
    streams = connected(scene.a, 3)
    streams[0].becomes_busy("a request is being answered")
    streams[1].becomes_busy("write buffer not empty")
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.goes_through(streams)

    asked.time_passes(4.9)
    assert scene.a.loop.inbox == []
    asked.time_passes(0.2)
    scene.a.loop.deliver()

    report = asked.answer()
    assert report.moved == 1
    assert report.left == {
        "a request is being answered": 1,
        "write buffer not empty": 1,
    }
    assert all(stream.handler is None for stream in streams[:2])


def test_one_that_settles_when_the_time_is_over_is_served_on(scene: Scene) -> None:
    (stream,) = connected(scene.a, 1)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    asked.time_passes(5.0)
    scene.a.loop.deliver()

    assert asked.answer().left == {"out of time": 1}
    assert stream.reading
    assert stream.handler is None


def test_one_that_is_carried_when_the_time_is_over_arrives(scene: Scene) -> None:
    (stream,) = connected(scene.a, 1)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    stream.detaches()

    asked.time_passes(5.0)
    scene.a.loop.deliver()
    assert not asked.answered
    scene.b.loop.deliver()

    assert asked.answer().moved == 1


def test_the_time_may_be_over_before_the_source_has_looked(scene: Scene) -> None:
    (stream,) = connected(scene.a, 1)
    asked = scene.asked(
        scene.migrator.drain(scene.a.thread, to=scene.b.thread, timeout_s=0.0)
    )

    scene.a.loop.deliver()

    assert asked.answer().left == {"out of time": 1}
    assert stream.times_asked == 0


def test_a_source_that_stops_after_the_time_is_over_still_answers(
    scene: Scene,
) -> None:
    connected(scene.a, 1)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    asked.time_passes(5.0)

    scene.a.stops()

    assert asked.answer().left == {"the source has stopped": 1}


# -- Loops that stop.


def test_a_drain_to_a_stopped_target_raises(scene: Scene) -> None:
    (stream,) = connected(scene.a, 1)
    scene.b.stops()

    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))

    with pytest.raises(LoopStoppedError, match="'b'"):
        asked.answer()
    assert stream.times_asked == 0


def test_a_drain_of_a_stopped_source_raises(scene: Scene) -> None:
    scene.a.stops()

    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))

    with pytest.raises(LoopStoppedError):
        asked.answer()


def test_a_drain_whose_source_stops_before_it_looks_raises(scene: Scene) -> None:
    connected(scene.a, 1)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))

    scene.a.stops()

    with pytest.raises(LoopStoppedError, match=r"'a'.* stopped before"):
        asked.answer()


def stopping_target(scene: Scene) -> tuple[list[ScriptedStream], Asked[DrainReport]]:
    """Five connections: one moved, one carried, two settling and one busy."""
    streams = connected(scene.a, 5)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    streams[0].detaches()
    scene.b.loop.deliver()
    streams[4].becomes_busy()
    scene.a.loop.deliver()
    streams[1].detaches()
    return streams, asked


def test_a_target_that_stops_midway_ends_the_drain(scene: Scene) -> None:
    streams, asked = stopping_target(scene)

    scene.b.stops()
    scene.a.loop.deliver()

    report = asked.answer()
    assert report.moved == 1
    assert report.returned == 1
    assert report.left == {"the target has stopped": 4}
    assert all(stream.reading for stream in streams[2:])
    assert len(scene.a.loop.all_streams) == 4
    assert scene.migrator.stats.returned == 1


def test_one_detached_after_the_target_stopped_goes_back_too(scene: Scene) -> None:
    streams, asked = stopping_target(scene)

    scene.b.stops()
    streams[2].detaches()
    scene.a.loop.deliver()

    report = asked.answer()
    assert (report.moved, report.returned) == (1, 2)
    assert report.left == {"the target has stopped": 4}
    assert len(scene.a.loop.all_streams) == 4


def test_a_refusal_ends_the_drain(scene: Scene) -> None:
    """The target would refuse again, and each refusal costs a server its protocol."""
    streams = connected(scene.a, 8)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    streams[0].detaches()

    scene.b.loop.factory = None
    scene.deliver_all()

    report = asked.answer()
    assert (report.moved, report.returned) == (0, 1)
    assert report.left == {"the target has no server on this address": 8}
    assert all(stream.reading for stream in streams[1:])


def test_a_source_that_stops_midway_keeps_what_it_has_not_detached(
    scene: Scene,
) -> None:
    streams = connected(scene.a, 3)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    streams[0].detaches()

    scene.a.stops()
    scene.b.loop.deliver()

    report = asked.answer()
    assert (report.moved, report.left) == (1, {"the source has stopped": 2})


def test_with_both_loops_gone_every_descriptor_is_closed_and_counted(
    scene: Scene,
) -> None:
    ends = [scene.a.connected() for _ in range(3)]
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    for stream, _, _ in ends:
        stream.detaches()

    scene.a.stops()
    scene.b.stops()

    assert asked.answer().left == {"closed: neither loop could adopt it": 3}
    assert all(peer_sees_the_end(peer) for _, _, peer in ends)
    assert scene.migrator.stats.closed == 3


# -- The caller gives up.


def test_cancelled_it_leaves_alone_what_has_not_been_detached(scene: Scene) -> None:
    streams = connected(scene.a, 6)
    streams[0].becomes_busy()
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    streams[1].detaches()

    asked.is_cancelled()
    scene.deliver_all()

    assert len(scene.b.loop.all_streams) == 1
    others = [stream for stream in streams if not stream.closed]
    assert len(others) == 5
    assert all(stream.reading and stream.handler is None for stream in others)
    assert scene.migrator.stats.left == {"cancelled": 5}


def test_cancelled_after_the_time_is_over(scene: Scene) -> None:
    (stream,) = connected(scene.a, 1)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    asked.time_passes(5.0)

    asked.is_cancelled()
    scene.deliver_all()

    assert stream.reading
    assert stream.handler is None


def test_two_drains_at_once_take_each_connection_once(scene: Scene) -> None:
    streams = connected(scene.a, 3)
    first = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    second = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))

    scene.goes_through(streams)

    assert first.answer().moved == 3
    assert second.answer().left == {"another move is in progress": 3}


# -- Statistics.


def test_pauses_are_by_nearest_rank() -> None:
    assert Pauses.of(()) == Pauses(0.0, 0.0, 0.0)
    assert Pauses.of((3.0,)) == Pauses(3.0, 3.0, 3.0)
    assert Pauses.of(range(200, 0, -1)) == Pauses(p50=100, p99=198, max=200)


def test_moved_and_left_add_up_to_all_that_were_asked(scene: Scene) -> None:
    streams, asked = stopping_target(scene)
    scene.b.stops()
    scene.a.loop.deliver()

    report = asked.answer()
    stats = scene.migrator.stats

    assert report.moved + sum(report.left.values()) == len(streams)
    assert stats.moves == {"epoll>uring": report.moved}
    assert stats.left == report.left
    assert report.pause_s.max == max(report.pauses_s)

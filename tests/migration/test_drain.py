"""Many moves together: who goes when, in how few messages, and what is counted."""

import pytest

from aioadapt import DrainReport, LoopStoppedError, Migrator, Pauses, Phase
from aioadapt.migration.connection import Connection

from .conftest import Asked, Scene
from .scripted import ScriptedHost, ScriptedStream, peer_sees_the_end


def connected(host: ScriptedHost, count: int) -> list[ScriptedStream]:
    return [host.connected()[0] for _ in range(count)]


def connections_of(streams: list[ScriptedStream]) -> list[Connection]:
    found = []
    for stream in streams:
        assert isinstance(stream.tag, Connection)
        found.append(stream.tag)
    return found


def resting(streams: list[ScriptedStream]) -> list[ScriptedStream]:
    return [stream for stream in streams if not stream.reading and not stream.closed]


def deliver_all(scene: Scene) -> None:
    """Until both inboxes are empty; whatever rests then goes on resting."""
    while scene.a.loop.deliver() + scene.b.loop.deliver():
        pass


def goes_through(scene: Scene, streams: list[ScriptedStream]) -> None:
    """Turn by turn: what rests is let go, then the threads come to their inboxes."""
    deliver_all(scene)
    while at_rest := resting(streams):
        for stream in at_rest:
            stream.lets_go()
        deliver_all(scene)


# -- It goes well.


def test_a_drain_moves_all_that_are_quiet(scene: Scene) -> None:
    streams = connected(scene.a, 10)
    connections = connections_of(streams)

    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    goes_through(scene, streams)

    report = asked.answer()
    assert (report.moved, report.returned, report.left) == (10, 0, {})
    assert len(report.pauses_s) == 10
    assert scene.a.connections == []
    assert set(scene.b.connections) == set(connections)


def test_a_drain_of_nothing_is_answered_at_once(scene: Scene) -> None:
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    assert asked.answer() == DrainReport(moved=0, returned=0, left={}, pauses_s=())


def test_a_busy_connection_is_taken_at_its_next_quiet_moment(scene: Scene) -> None:
    streams = connected(scene.a, 2)
    streams[1].becomes_busy()

    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    goes_through(scene, streams)
    assert not asked.answered
    assert streams[1].reading
    streams[1].becomes_quiet()
    goes_through(scene, streams)

    assert asked.answer().moved == 2


def test_one_that_stirs_is_taken_when_it_is_quiet_again(scene: Scene) -> None:
    (stream,) = streams = connected(scene.a, 1)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    stream.stirs()
    assert connections_of(streams)[0].phase is Phase.SERVING
    assert not asked.answered
    stream.becomes_quiet()
    goes_through(scene, streams)

    assert asked.answer().moved == 1


def test_connections_that_come_meanwhile_are_not_asked(scene: Scene) -> None:
    streams = connected(scene.a, 1)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    (late,) = connected(scene.a, 1)
    goes_through(scene, streams)

    assert asked.answer().moved == 1
    assert late.times_asked == 0


def test_a_drain_to_where_they_are_does_nothing(scene: Scene) -> None:
    connected(scene.a, 2)

    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.a.thread))

    assert asked.answer().left == {"already there": 2}
    assert scene.a.loop.posts == 0


# -- In few messages.


def test_what_is_let_go_in_one_turn_travels_in_one_message(scene: Scene) -> None:
    """A thread that is woken may wait a whole switch interval until it runs."""
    migrator = Migrator(at_once=256)
    streams = connected(scene.a, 256)

    asked = scene.asked(migrator.drain(scene.a.thread, to=scene.b.thread))
    goes_through(scene, streams)

    assert asked.answer().moved == 256
    assert scene.b.loop.posts == 1
    assert scene.a.loop.posts == 1


def test_what_is_let_go_before_the_target_looks_travels_in_the_same_message(
    scene: Scene,
) -> None:
    streams = connected(scene.a, 2)
    streams[1].becomes_busy()
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    streams[0].lets_go()
    streams[1].becomes_quiet()
    streams[1].lets_go()
    scene.b.loop.deliver()

    assert asked.answer().moved == 2
    assert scene.b.loop.posts == 1


def test_what_is_let_go_after_the_target_looked_gets_a_message_of_its_own(
    scene: Scene,
) -> None:
    streams = connected(scene.a, 2)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    streams[0].lets_go()
    scene.b.loop.deliver()
    streams[1].lets_go()
    scene.b.loop.deliver()

    assert asked.answer().moved == 2
    assert scene.b.loop.posts == 2


# -- So many at once.


def test_no_more_than_at_once_rest_or_are_carried(scene: Scene) -> None:
    """The last of those let go together waits for all the others."""
    streams = connected(scene.a, 10)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    first = resting(streams)
    assert len(first) == 4

    first[0].lets_go()
    first[1].lets_go()
    scene.a.loop.deliver()
    assert len(resting(streams)) == 2, "two of the four are carried"

    scene.b.loop.deliver()
    scene.a.loop.deliver()
    assert len(resting(streams)) == 4
    goes_through(scene, streams)
    assert asked.answer().moved == 10


def test_those_held_back_go_on_being_served(scene: Scene) -> None:
    streams = connected(scene.a, 5)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    (held_back,) = [stream for stream in streams if stream.reading]
    held_back.becomes_busy()
    goes_through(scene, streams)
    assert not asked.answered
    held_back.becomes_quiet()
    goes_through(scene, streams)

    assert asked.answer().moved == 5


def test_one_held_back_and_busy_does_not_stand_in_the_others_way(
    scene: Scene,
) -> None:
    streams = connected(scene.a, 6)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    busy = next(stream for stream in streams if stream.reading)
    busy.becomes_busy("a long answer")
    goes_through(scene, streams)

    assert [stream for stream in streams if not stream.closed] == [busy]
    asked.time_passes(5.0)
    deliver_all(scene)
    assert asked.answer().left == {"a long answer": 1}


@pytest.mark.parametrize("event", ["stirs", "ends"])
def test_one_that_does_not_go_makes_room(scene: Scene, event: str) -> None:
    streams = connected(scene.a, 5)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    (held_back,) = [stream for stream in streams if stream.reading]

    getattr(streams[0], event)()
    scene.a.loop.deliver()

    assert not held_back.reading
    asked.is_cancelled()
    deliver_all(scene)


def test_one_held_back_that_ends_is_counted_as_closed(scene: Scene) -> None:
    streams = connected(scene.a, 5)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    (held_back,) = [stream for stream in streams if stream.reading]
    held_back.ends()
    goes_through(scene, streams)

    report = asked.answer()
    assert (report.moved, report.left) == (4, {"closed": 1})


def test_at_once_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Migrator(at_once=0)


# -- Not all of them.


def test_a_limit_asks_the_quiet_ones_first(scene: Scene) -> None:
    busy, opaque, quiet = streams = connected(scene.a, 3)
    busy.becomes_busy()
    opaque.opaque = True
    opaque.becomes_busy("TLS")

    asked = scene.asked(
        scene.migrator.drain(scene.a.thread, to=scene.b.thread, limit=1)
    )
    goes_through(scene, streams)

    report = asked.answer()
    assert (report.moved, report.left) == (1, {})
    assert quiet.closed
    assert busy.times_asked == opaque.times_asked == 0


def test_a_limit_of_none_left_moves_none(scene: Scene) -> None:
    connected(scene.a, 1)

    asked = scene.asked(
        scene.migrator.drain(scene.a.thread, to=scene.b.thread, limit=0)
    )
    scene.a.loop.deliver()

    assert asked.answer().moved == 0


def test_a_negative_limit_is_a_mistake(scene: Scene) -> None:
    asked = scene.asked(
        scene.migrator.drain(scene.a.thread, to=scene.b.thread, limit=-1)
    )

    with pytest.raises(ValueError, match="-1"):
        asked.answer()


def test_those_that_can_never_be_moved_are_counted_at_once(scene: Scene) -> None:
    tls, upgraded, plain = streams = connected(scene.a, 3)
    for stream, why in ((tls, "TLS"), (upgraded, "opaque: Upgrade")):
        stream.opaque = True
        stream.becomes_busy(why)

    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    goes_through(scene, streams)

    report = asked.answer()
    assert (report.moved, report.left) == (1, {"TLS": 1, "opaque: Upgrade": 1})
    assert plain.closed


# -- The time is over.


def test_those_still_busy_stay_and_are_counted_with_their_reasons(
    scene: Scene,
) -> None:
    streams = connected(scene.a, 3)
    streams[0].becomes_busy("a request is being answered")
    streams[1].becomes_busy("write buffer not empty")
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    goes_through(scene, streams)

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


def test_one_that_rests_when_the_time_is_over_is_served_on(scene: Scene) -> None:
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
    stream.lets_go()

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

    assert asked.answer().left == {"its own loop has stopped": 1}


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

    with pytest.raises(LoopStoppedError, match="'a'.* stopped before"):
        asked.answer()


def stopping_target(scene: Scene) -> tuple[list[ScriptedStream], Asked[DrainReport]]:
    """Of five: one is moved, one carried, two rest and one is held back, busy."""
    streams = connected(scene.a, 5)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    streams[0].lets_go()
    scene.b.loop.deliver()
    streams[4].becomes_busy()
    scene.a.loop.deliver()
    streams[1].lets_go()
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


def test_one_let_go_after_the_target_stopped_goes_back_too(scene: Scene) -> None:
    streams, asked = stopping_target(scene)

    scene.b.stops()
    streams[2].lets_go()
    scene.a.loop.deliver()

    report = asked.answer()
    assert (report.moved, report.returned) == (1, 2)
    assert report.left == {"the target has stopped": 4}
    assert len(scene.a.loop.all_streams) == 4


def test_a_refusal_ends_the_drain(scene: Scene) -> None:
    """What refused once would again, and each refusal costs a guest its protocol."""
    streams = connected(scene.a, 8)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    streams[0].lets_go()

    scene.b.loop.factory = None
    deliver_all(scene)

    report = asked.answer()
    assert (report.moved, report.returned) == (0, 1)
    assert report.left == {"the target has no server on its address": 8}
    assert all(stream.reading for stream in streams[1:])


def test_a_source_that_stops_midway_keeps_what_it_has_not_let_go(scene: Scene) -> None:
    streams = connected(scene.a, 3)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    streams[0].lets_go()

    scene.a.stops()
    scene.b.loop.deliver()

    report = asked.answer()
    assert (report.moved, report.left) == (1, {"its own loop has stopped": 2})


def test_with_both_loops_gone_every_descriptor_is_closed_and_counted(
    scene: Scene,
) -> None:
    ends = [scene.a.connected() for _ in range(3)]
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    for stream, _, _ in ends:
        stream.lets_go()

    scene.a.stops()
    scene.b.stops()

    assert asked.answer().left == {"closed: no loop could take it": 3}
    assert all(peer_sees_the_end(peer) for _, _, peer in ends)
    assert scene.migrator.stats.abandoned == 3


# -- Whoever asked gives up.


def test_cancelled_it_leaves_alone_what_has_not_been_let_go(scene: Scene) -> None:
    streams = connected(scene.a, 6)
    streams[0].becomes_busy()
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    streams[1].lets_go()

    asked.is_cancelled()
    deliver_all(scene)

    assert len(scene.b.loop.all_streams) == 1
    others = [stream for stream in streams if not stream.closed]
    assert len(others) == 5
    assert all(stream.reading and stream.handler is None for stream in others)
    assert scene.migrator.stats.left == {"called off": 5}


def test_cancelled_after_the_time_is_over(scene: Scene) -> None:
    (stream,) = connected(scene.a, 1)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    asked.time_passes(5.0)

    asked.is_cancelled()
    deliver_all(scene)

    assert stream.reading
    assert stream.handler is None


def test_two_drains_at_once_take_each_connection_once(scene: Scene) -> None:
    streams = connected(scene.a, 3)
    first = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    second = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))

    goes_through(scene, streams)

    assert first.answer().moved == 3
    assert second.answer().left == {"another move has it": 3}


# -- The figures.


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

"""Many moves together: their order, and how few messages they take."""

import pytest

from aioadapt import DrainReport, Migrator, Phase

from .conftest import Scene
from .scripted import connected, connections_of, settling

# -- Success.


def test_a_drain_moves_all_that_are_quiet(scene: Scene) -> None:
    streams = connected(scene.a, 10)
    connections = connections_of(streams)

    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.goes_through(streams)

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
    scene.goes_through(streams)
    assert not asked.answered
    assert streams[1].reading
    streams[1].becomes_quiet()
    scene.goes_through(streams)

    assert asked.answer().moved == 2


def test_one_that_becomes_active_is_taken_when_it_is_quiet_again(scene: Scene) -> None:
    (stream,) = streams = connected(scene.a, 1)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    stream.becomes_active()
    assert connections_of(streams)[0].phase is Phase.SERVING
    assert not asked.answered
    stream.becomes_quiet()
    scene.goes_through(streams)

    assert asked.answer().moved == 1


def test_the_arrivals_are_in_the_order_of_asking(scene: Scene) -> None:
    """So that they can be matched with the pauses."""
    streams = connected(scene.a, 2)
    streams[0].becomes_busy()
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.goes_through(streams)
    streams[0].becomes_quiet()
    scene.goes_through(streams)

    report = asked.answer()
    late, early = report.arrivals_s
    assert late > early > report.pauses_s[1] > 0


def test_connections_that_come_meanwhile_are_not_asked(scene: Scene) -> None:
    streams = connected(scene.a, 1)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    (late,) = connected(scene.a, 1)
    scene.goes_through(streams)

    assert asked.answer().moved == 1
    assert late.times_asked == 0


def test_a_drain_to_where_they_are_does_nothing(scene: Scene) -> None:
    connected(scene.a, 2)

    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.a.thread))

    assert asked.answer().left == {"already on the target": 2}
    assert scene.a.loop.posts == 0


# -- Few messages.


def test_what_is_detached_in_one_iteration_travels_in_one_message(scene: Scene) -> None:
    """A woken thread may wait a whole switch interval before it runs."""
    migrator = Migrator(max_in_flight=256)
    streams = connected(scene.a, 256)

    asked = scene.asked(migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.goes_through(streams)

    assert asked.answer().moved == 256
    assert scene.b.loop.posts == 1
    assert scene.a.loop.posts == 1


def test_what_is_detached_before_the_target_looks_travels_in_the_same_message(
    scene: Scene,
) -> None:
    streams = connected(scene.a, 2)
    streams[1].becomes_busy()
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    streams[0].detaches()
    streams[1].becomes_quiet()
    streams[1].detaches()
    scene.b.loop.deliver()

    assert asked.answer().moved == 2
    assert scene.b.loop.posts == 1


def test_what_is_detached_after_the_target_looked_gets_a_message_of_its_own(
    scene: Scene,
) -> None:
    streams = connected(scene.a, 2)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    streams[0].detaches()
    scene.b.loop.deliver()
    streams[1].detaches()
    scene.b.loop.deliver()

    assert asked.answer().moved == 2
    assert scene.b.loop.posts == 2


# -- How many at once.


def test_no_more_than_max_in_flight_settle_or_are_carried(scene: Scene) -> None:
    """The last of those detached together waits for all others."""
    streams = connected(scene.a, 10)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    first = settling(streams)
    assert len(first) == 4

    first[0].detaches()
    first[1].detaches()
    scene.a.loop.deliver()
    assert len(settling(streams)) == 2, "two of the four are carried"

    scene.b.loop.deliver()
    scene.a.loop.deliver()
    assert len(settling(streams)) == 4
    scene.goes_through(streams)
    assert asked.answer().moved == 10


def test_those_held_back_go_on_being_served(scene: Scene) -> None:
    streams = connected(scene.a, 5)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    (held_back,) = [stream for stream in streams if stream.reading]
    held_back.becomes_busy()
    scene.goes_through(streams)
    assert not asked.answered
    held_back.becomes_quiet()
    scene.goes_through(streams)

    assert asked.answer().moved == 5


def test_one_held_back_and_busy_does_not_stand_in_the_others_way(
    scene: Scene,
) -> None:
    streams = connected(scene.a, 6)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    busy = next(stream for stream in streams if stream.reading)
    busy.becomes_busy("a long answer")
    scene.goes_through(streams)

    assert [stream for stream in streams if not stream.closed] == [busy]
    asked.time_passes(5.0)
    scene.deliver_all()
    assert asked.answer().left == {"a long answer": 1}


@pytest.mark.parametrize("event", ["becomes_active", "ends"])
def test_one_that_does_not_go_makes_room(scene: Scene, event: str) -> None:
    streams = connected(scene.a, 5)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()
    (held_back,) = [stream for stream in streams if stream.reading]

    getattr(streams[0], event)()
    scene.a.loop.deliver()

    assert not held_back.reading
    asked.is_cancelled()
    scene.deliver_all()


def test_one_held_back_that_ends_is_counted_as_closed(scene: Scene) -> None:
    streams = connected(scene.a, 5)
    asked = scene.asked(scene.migrator.drain(scene.a.thread, to=scene.b.thread))
    scene.a.loop.deliver()

    (held_back,) = [stream for stream in streams if stream.reading]
    held_back.ends()
    scene.goes_through(streams)

    report = asked.answer()
    assert (report.moved, report.left) == (4, {"closed": 1})


def test_max_in_flight_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Migrator(max_in_flight=0)


# -- With a limit.


def test_a_limit_asks_the_quiet_ones_first(scene: Scene) -> None:
    busy, opaque, quiet = streams = connected(scene.a, 3)
    busy.becomes_busy()
    opaque.opaque = True
    opaque.becomes_busy("TLS")

    asked = scene.asked(
        scene.migrator.drain(scene.a.thread, to=scene.b.thread, limit=1)
    )
    scene.goes_through(streams)

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
    scene.goes_through(streams)

    report = asked.answer()
    assert (report.moved, report.left) == (1, {"TLS": 1, "opaque: Upgrade": 1})
    assert plain.closed

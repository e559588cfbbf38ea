"""Moves that are refused, or whose loops or caller go away meanwhile."""

import asyncio

import pytest

from aioadapt import LoopStoppedError, MoveResult, Phase
from aioadapt.migration.connection import Connection

from .conftest import Asked, Scene
from .scripted import only_stream_of, peer_sees_the_end, phase_of, untouched

# -- The target refuses, or is gone.


def test_what_the_target_refuses_is_served_by_the_source_again(scene: Scene) -> None:
    stream, connection, peer, asked = scene.move_settling()
    stream.detaches(unread=b"GE")

    scene.b.loop.factory = None
    scene.b.loop.deliver()
    assert phase_of(connection) is Phase.CARRIED
    scene.a.loop.deliver()

    result = asked.answer()
    assert not result.moved
    assert result.reason == "the target has no server on this address"
    assert result.pause_s > 0
    assert phase_of(connection) is Phase.RETURNED
    assert connection.thread is scene.a.thread
    assert only_stream_of(scene.a) is not stream
    assert not peer_sees_the_end(peer)
    assert scene.migrator.stats.returned == 1


def test_a_factory_that_fails_is_reported_on_its_loop_and_refuses(scene: Scene) -> None:
    def factory() -> asyncio.Protocol:
        raise ValueError("the application is not up")

    _, connection, _, asked = scene.move_carried()

    scene.b.loop.factory = factory
    scene.b.loop.deliver()
    scene.a.loop.deliver()

    assert asked.answer().reason == "the target's protocol factory failed"
    (report,) = scene.b.loop.reported
    assert isinstance(report["exception"], ValueError)
    assert phase_of(connection) is Phase.RETURNED


def test_what_both_loops_refuse_is_closed_and_told(scene: Scene) -> None:
    def factory() -> asyncio.Protocol:
        raise ValueError("the application is not up")

    _, connection, peer, asked = scene.move_carried()

    scene.a.loop.factory = scene.b.loop.factory = factory
    scene.b.loop.deliver()
    scene.a.loop.deliver()

    assert asked.answer().reason == "closed: neither loop could adopt it"
    assert phase_of(connection) is Phase.CLOSED
    assert peer_sees_the_end(peer)
    assert scene.migrator.stats.closed == 1


def test_a_factory_that_ends_its_thread_loses_no_connection(scene: Scene) -> None:
    def factory() -> asyncio.Protocol:
        raise SystemExit

    _, connection, _, asked = scene.move_carried()

    scene.b.loop.factory = factory
    with pytest.raises(SystemExit):
        scene.b.loop.deliver()
    scene.a.loop.deliver()

    assert not asked.answer().moved
    assert phase_of(connection) is Phase.RETURNED


def test_a_source_that_has_closed_its_listener_takes_its_connection_back(
    scene: Scene,
) -> None:
    _, connection, _, asked = scene.move_carried()

    scene.a.loop.factory = scene.b.loop.factory = None
    scene.b.loop.deliver()
    scene.a.loop.deliver()

    assert not asked.answer().moved
    assert phase_of(connection) is Phase.RETURNED


class Before(asyncio.Protocol):
    """From the server that accepted the connection."""


class Now(asyncio.Protocol):
    """From the server that listens there now."""


@pytest.mark.parametrize(("now", "protocol"), [(None, Before), (Now, Now)])
def test_a_returned_connection_gets_the_factory_of_the_server_of_now_if_there_is_one(
    scene: Scene, now: type[asyncio.Protocol] | None, protocol: type
) -> None:
    scene.a.loop.factory = Before
    *_, asked = scene.move_carried()

    scene.a.loop.factory = now
    scene.b.loop.factory = None
    scene.b.loop.deliver()
    scene.a.loop.deliver()

    assert not asked.answer().moved
    assert type(only_stream_of(scene.a).protocol) is protocol


def test_a_target_that_had_stopped_raises_and_touches_nothing(scene: Scene) -> None:
    stream, connection, _ = scene.a.connected()
    scene.b.stops()

    asked = scene.asked(scene.migrator.move(connection, to=scene.b.thread))

    with pytest.raises(LoopStoppedError, match="scripted host 'b'"):
        asked.answer()
    assert untouched(scene.a, scene.b, stream, connection)


def test_a_target_that_stops_before_the_source_looks_raises(scene: Scene) -> None:
    stream, connection, _, asked = scene.move_asked()

    scene.b.stops()
    scene.a.loop.deliver()

    with pytest.raises(LoopStoppedError):
        asked.answer()
    assert untouched(scene.a, scene.b, stream, connection)


def stopped_target_raises(asked: Asked[MoveResult], connection: Connection) -> bool:
    with pytest.raises(LoopStoppedError, match="stays on its own loop"):
        asked.answer()
    return phase_of(connection) is Phase.RETURNED


def test_a_target_that_stops_while_the_connection_rests(scene: Scene) -> None:
    stream, connection, peer, asked = scene.move_settling()

    scene.b.stops()
    stream.detaches()
    scene.a.loop.deliver()

    assert stopped_target_raises(asked, connection)
    assert not peer_sees_the_end(peer)


def test_a_target_that_stops_with_the_transfer_in_its_inbox(scene: Scene) -> None:
    _, connection, peer, asked = scene.move_carried()

    scene.b.stops()
    scene.a.loop.deliver()

    assert stopped_target_raises(asked, connection)
    assert not peer_sees_the_end(peer)


def test_a_target_that_is_stopping_is_as_good_as_stopped(scene: Scene) -> None:
    """Its loop still runs so that its tasks can end, but its servers are closing."""
    _, connection, peer, asked = scene.move_carried()

    scene.b.begins_to_stop()
    scene.b.loop.deliver()
    scene.a.loop.deliver()

    assert stopped_target_raises(asked, connection)
    assert not peer_sees_the_end(peer)


# -- The source is gone.


@pytest.mark.parametrize("has_looked", [False, True])
def test_a_source_that_is_stopping_lets_nothing_go(
    scene: Scene, has_looked: bool
) -> None:
    stream, _, _, asked = scene.move_asked()
    if has_looked:
        scene.a.loop.deliver()

    scene.a.begins_to_stop()
    scene.a.loop.deliver()

    assert asked.answer().reason == "the source has stopped"
    assert stream.reading
    assert stream.handler is None


def test_a_source_that_is_stopping_takes_nothing_back(scene: Scene) -> None:
    _, connection, peer, asked = scene.move_carried()
    scene.b.loop.factory = None
    scene.b.loop.deliver()

    scene.a.begins_to_stop()
    scene.a.loop.deliver()

    assert asked.answer().reason == "closed: neither loop could adopt it"
    assert phase_of(connection) is Phase.CLOSED
    assert peer_sees_the_end(peer)


def test_a_source_that_had_stopped(scene: Scene) -> None:
    _, connection, _ = scene.a.connected()
    scene.a.stops()

    asked = scene.asked(scene.migrator.move(connection, to=scene.b.thread))

    assert asked.answer().reason == "the source has stopped"


def test_a_source_that_stops_with_the_start_in_its_inbox(scene: Scene) -> None:
    *_, asked = scene.move_asked()

    scene.a.stops()

    assert asked.answer().reason == "the source has stopped"


def test_a_source_that_stops_while_it_is_carried_does_not_stop_the_move(
    scene: Scene,
) -> None:
    _, connection, peer, asked = scene.move_carried()

    scene.a.stops()
    scene.b.loop.deliver()

    assert asked.answer().moved
    assert connection.thread is scene.b.thread
    assert not peer_sees_the_end(peer)


def test_with_both_loops_gone_the_descriptor_is_closed_and_counted(
    scene: Scene,
) -> None:
    _, connection, peer, asked = scene.move_carried()

    scene.a.stops()
    scene.b.stops()

    result = asked.answer()
    assert (result.moved, result.reason) == (
        False,
        "closed: neither loop could adopt it",
    )
    assert phase_of(connection) is Phase.CLOSED
    assert peer_sees_the_end(peer)
    assert scene.migrator.stats.closed == 1
    assert scene.migrator.stats.left == {"closed: neither loop could adopt it": 1}


def test_a_source_that_stops_with_a_returned_socket_in_its_inbox(scene: Scene) -> None:
    _, connection, peer, asked = scene.move_carried()
    scene.b.loop.factory = None
    scene.b.loop.deliver()

    scene.a.stops()

    assert asked.answer().reason == "closed: neither loop could adopt it"
    assert phase_of(connection) is Phase.CLOSED
    assert peer_sees_the_end(peer)


# -- The caller gives up.


def test_cancelled_before_the_source_looked(scene: Scene) -> None:
    stream, connection, _, asked = scene.move_asked()

    asked.is_cancelled()
    scene.a.loop.deliver()

    assert stream.times_asked == 0
    assert untouched(scene.a, scene.b, stream, connection)
    assert scene.migrator.stats.left == {"cancelled": 1}


def test_cancelled_while_it_settles(scene: Scene) -> None:
    stream, connection, _, asked = scene.move_settling()

    asked.is_cancelled()
    scene.a.loop.deliver()

    assert untouched(scene.a, scene.b, stream, connection)


def test_cancelled_while_it_is_carried_it_arrives_all_the_same(scene: Scene) -> None:
    _, connection, _, asked = scene.move_carried()

    asked.is_cancelled()
    scene.a.loop.deliver()
    scene.b.loop.deliver()

    assert phase_of(connection) is Phase.MOVED
    assert scene.migrator.stats.moves == {"epoll>uring": 1}


def test_cancelled_while_it_is_refused_it_is_taken_back(scene: Scene) -> None:
    _, connection, _, asked = scene.move_carried()
    scene.b.loop.factory = None
    scene.b.loop.deliver()

    asked.is_cancelled()
    scene.a.loop.deliver()

    assert phase_of(connection) is Phase.RETURNED


def test_cancelled_with_its_answer_on_the_way(scene: Scene) -> None:
    _, connection, _, asked = scene.move_carried()
    scene.b.loop.deliver()

    asked.is_cancelled()
    scene.a.loop.deliver()

    assert phase_of(connection) is Phase.MOVED

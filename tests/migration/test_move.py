"""One move, in every interleaving.

The connection moves from thread a to thread b; ``deliver`` is the moment when a
thread reads its inbox.
"""

import pytest

from aioadapt import MigrationOrderError, Phase
from aioadapt.migration.move import Move
from aioadapt.migration.phase import Event

from .conftest import Asked, AskersLoop, Scene
from .scripted import only_stream_of, peer_sees_the_end, phase_of, untouched

# -- Success.


def test_a_quiet_connection_is_moved(scene: Scene) -> None:
    stream, connection, peer = scene.a.connected()
    stream.requests = 3
    asked = scene.asked(scene.migrator.move(connection, to=scene.b.thread))

    scene.a.loop.deliver()
    assert phase_of(connection) is Phase.DRAINING
    assert not stream.reading
    stream.detaches(unread=b"GE")
    assert phase_of(connection) is Phase.CARRIED
    assert not asked.answered
    scene.b.loop.deliver()
    scene.a.loop.deliver()

    result = asked.answer()
    assert result.moved
    assert result.reason == ""
    assert result.pause_s > 0
    assert result.carried_bytes == 2
    assert scene.a.loop.all_streams == []
    assert only_stream_of(scene.b).tag is connection
    assert connection.thread is scene.b.thread
    assert phase_of(connection) is Phase.MOVED
    assert connection.requests == 3
    assert connection.quiet
    assert not peer_sees_the_end(peer)


def test_a_moved_connection_is_the_same_object_wherever_it_is_listed(
    scene: Scene,
) -> None:
    stream, connection, _, asked = scene.move_carried()
    scene.b.loop.deliver()
    scene.a.loop.deliver()
    asked.answer()

    assert scene.a.connections == []
    assert scene.b.connections == [connection]
    assert connection.id == stream.id


def test_a_moved_connection_can_be_moved_back(scene: Scene) -> None:
    stream, connection, _ = scene.a.connected()
    there = scene.asked(scene.migrator.move(connection, to=scene.b.thread))
    scene.a.loop.deliver()
    stream.detaches()
    scene.b.loop.deliver()
    scene.a.loop.deliver()
    assert there.answer().moved

    back = scene.asked(scene.migrator.move(connection, to=scene.a.thread))
    scene.b.loop.deliver()
    only_stream_of(scene.b).detaches()
    scene.a.loop.deliver()
    scene.b.loop.deliver()

    assert back.answer().moved
    assert connection.thread is scene.a.thread
    assert scene.migrator.stats.moves == {"epoll>uring": 1, "uring>epoll": 1}


def test_the_askers_loop_may_be_gone_when_the_connection_arrives(scene: Scene) -> None:
    stream, connection, _ = scene.a.connected()
    loop = AskersLoop()
    asked = Asked(loop, scene.migrator.move(connection, to=scene.b.thread))
    scene.a.loop.deliver()
    stream.detaches()
    asked.is_cancelled()
    loop.close()

    scene.b.loop.deliver()
    scene.a.loop.deliver()

    assert phase_of(connection) is Phase.MOVED
    assert scene.migrator.stats.moves == {"epoll>uring": 1}


# -- Not moved, with a reason, and nothing has changed.


def test_moving_to_where_it_is_does_nothing(scene: Scene) -> None:
    stream, connection, _ = scene.a.connected()

    asked = scene.asked(scene.migrator.move(connection, to=scene.a.thread))

    assert asked.answer().reason == "already on the target"
    assert scene.a.loop.posts == 0
    assert untouched(scene.a, scene.b, stream, connection)


def test_a_busy_connection_is_an_answer(scene: Scene) -> None:
    stream, connection, _ = scene.a.connected()
    stream.becomes_busy("a request is being answered")

    asked = scene.asked(scene.migrator.move(connection, to=scene.b.thread))
    scene.a.loop.deliver()

    result = asked.answer()
    assert (result.moved, result.reason, result.pause_s) == (
        False,
        "a request is being answered",
        0.0,
    )
    assert untouched(scene.a, scene.b, stream, connection)
    assert scene.migrator.stats.left == {"a request is being answered": 1}


def test_an_opaque_connection_is_answered_with_what_makes_it_so(scene: Scene) -> None:
    stream, connection, _ = scene.a.connected()
    stream.opaque = True
    stream.becomes_busy("opaque: Upgrade")

    asked = scene.asked(scene.migrator.move(connection, to=scene.b.thread))
    scene.a.loop.deliver()

    assert asked.answer().reason == "opaque: Upgrade"


@pytest.mark.parametrize(
    ("idle_s", "reason"), [(0.9, "not idle for long enough"), (1.0, "")]
)
def test_quiet_for_s_is_counted_from_the_last_byte(
    scene: Scene, idle_s: float, reason: str
) -> None:
    stream, connection, _ = scene.a.connected()
    scene.a.loop.now += idle_s

    asked = scene.asked(
        scene.migrator.move(connection, to=scene.b.thread, quiet_for_s=1.0)
    )
    scene.a.loop.deliver()
    if not reason:
        stream.detaches()
        scene.b.loop.deliver()
        scene.a.loop.deliver()

    assert asked.answer().reason == reason


def test_a_target_with_no_server_there_is_seen_before_anything_is_detached(
    scene: Scene,
) -> None:
    stream, connection, _ = scene.a.connected()
    scene.b.loop.factory = None

    asked = scene.asked(scene.migrator.move(connection, to=scene.b.thread))
    scene.a.loop.deliver()

    assert asked.answer().reason == "the target has no server on this address"
    assert untouched(scene.a, scene.b, stream, connection)


def test_a_connection_that_closed_before_the_source_looked(scene: Scene) -> None:
    stream, connection, _, asked = scene.move_asked()

    stream.ends()
    scene.a.loop.deliver()

    assert asked.answer().reason == "closed"
    assert phase_of(connection) is Phase.CLOSED
    assert not connection.quiet


def test_a_second_move_of_the_same_connection_is_answered_as_busy(
    scene: Scene,
) -> None:
    stream, connection, _ = scene.a.connected()
    first = scene.asked(scene.migrator.move(connection, to=scene.b.thread))
    second = scene.asked(scene.migrator.move(connection, to=scene.b.thread))

    scene.a.loop.deliver()
    assert second.answer().reason == "another move is in progress"
    stream.detaches()
    third = scene.asked(scene.migrator.move(connection, to=scene.b.thread))
    scene.a.loop.deliver()
    assert third.answer().reason == "another move is in progress"
    scene.b.loop.deliver()
    scene.a.loop.deliver()

    assert first.answer().moved


def test_a_move_that_finds_it_gone_elsewhere_says_so(scene: Scene) -> None:
    stream, connection, _ = scene.a.connected()
    first = scene.asked(scene.migrator.move(connection, to=scene.b.thread))
    scene.a.loop.deliver()
    stream.detaches()
    second = scene.asked(scene.migrator.move(connection, to=scene.b.thread))
    scene.b.loop.deliver()
    scene.a.loop.deliver()

    assert first.answer().moved
    assert second.answer().reason == "another move is in progress"


# -- While settling.


def test_a_move_does_not_wait_for_a_server_that_becomes_active(scene: Scene) -> None:
    stream, connection, _, asked = scene.move_settling()

    stream.becomes_active()
    scene.a.loop.deliver()

    result = asked.answer()
    assert result.reason == "the server was still active"
    assert result.pause_s == 0.0
    assert untouched(scene.a, scene.b, stream, connection)


def test_a_move_does_not_wait_for_one_that_is_busy_when_the_iteration_ends(
    scene: Scene,
) -> None:
    stream, connection, _, asked = scene.move_asked()
    stream.becomes_busy_when_asked = True

    scene.a.loop.deliver()
    scene.a.loop.deliver()

    assert asked.answer().reason == "a request is being answered"
    assert untouched(scene.a, scene.b, stream, connection)


def test_a_peer_that_leaves_while_it_settles_closes_it(scene: Scene) -> None:
    stream, connection, peer, asked = scene.move_settling()

    stream.ends()
    scene.a.loop.deliver()

    assert asked.answer().reason == "closed"
    assert phase_of(connection) is Phase.CLOSED
    assert scene.b.loop.posts == 0
    assert peer_sees_the_end(peer)
    assert scene.migrator.stats.closed == 0


def test_a_source_that_stops_while_it_settles_keeps_it(scene: Scene) -> None:
    stream, _, _, asked = scene.move_settling()

    scene.a.stops()

    assert asked.answer().reason == "the source has stopped"
    assert stream.handler is None


# -- Our own mistakes.


def test_a_stream_that_reports_out_of_order_is_told_by_name(scene: Scene) -> None:
    stream, connection, _, asked = scene.move_settling()
    assert isinstance(stream.handler, Move)

    with pytest.raises(MigrationOrderError, match=r"is DRAINING .* QUIET"):
        stream.handler.report(Event.QUIET)

    assert phase_of(connection) is Phase.DRAINING
    asked.is_cancelled()
    scene.a.loop.deliver()


def test_a_move_that_cannot_begin_tells_both_sides(scene: Scene) -> None:
    stream, connection, _ = scene.a.connected()

    def release(handler: object, *, immediately: bool = False) -> None:
        raise RuntimeError("not on this thread")

    stream.release = release  # type: ignore[method-assign]
    asked = scene.asked(scene.migrator.move(connection, to=scene.b.thread))
    with pytest.raises(RuntimeError, match="not on this thread"):
        scene.a.loop.deliver()

    with pytest.raises(RuntimeError, match="not on this thread"):
        asked.answer()


def test_repr_tells_the_state_in_words(scene: Scene) -> None:
    _, connection, _ = scene.a.connected()

    assert repr(connection) == (
        f"<Connection {connection.id} from {connection.peername!r} on 'a': "
        "the source loop serves it; 0 requests answered>"
    )


def test_idle_s_runs_on_while_it_is_carried(scene: Scene) -> None:
    _, connection, _, asked = scene.move_carried()

    scene.a.loop.now += 2.5

    assert connection.idle_s == 2.5
    assert not connection.quiet
    scene.b.loop.deliver()
    scene.a.loop.deliver()
    assert asked.answer().moved

"""Real connections, moved between real loops."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import aioadapt
from aioadapt import LoopStoppedError, Migrator, Phase
from aioadapt.migration.batch import MigrationBatch
from aioadapt.migration.move import Move

from .callers import Caller
from .real import ENDS_WITHIN_S, Peer, Place, Scenery, TinyHttp, request, scenery

URING = aioadapt.uring_support()
ENGINES = ["epoll", "uring"]
WAYS = [f"{a}>{b}" for a in ENGINES for b in ENGINES]
WAYS += ["adaptive>uring", "uring>adaptive"]


@pytest.fixture(params=WAYS)
def scene(request: pytest.FixtureRequest) -> Iterator[Scenery]:
    if "uring" in request.param and not URING.available:
        pytest.skip(URING.reason)
    with scenery(*request.param.split(">")) as scene:
        yield scene


# -- What a move guarantees.


def test_the_next_request_is_answered_by_the_other_thread(scene: Scenery) -> None:
    peer, connection = scene.connect()
    scene.b.serve()
    assert peer.ask() == "a"

    result = scene.move(connection, to=scene.b)

    assert result.moved
    assert peer.ask() == "b"
    assert connection.thread is scene.b.thread
    assert connection.requests == 3
    assert scene.a.thread.connections == []
    assert scene.b.thread.connections == [connection]


def test_it_can_go_back_and_forth(scene: Scenery) -> None:
    peer, connection = scene.connect()
    scene.b.serve()

    for _ in range(5):
        assert scene.move(connection, to=scene.b).moved
        assert peer.ask() == "b"
        assert scene.move(connection, to=scene.a).moved
        assert peer.ask() == "a"


@pytest.mark.skipif(not URING.available, reason=URING.reason)
def test_it_moves_to_and_from_a_loop_that_changes_engines() -> None:
    with scenery("adaptive", "uring") as scene:
        loop: Any = scene.a.thread.loop
        peers = [scene.connect() for _ in range(4)]
        scene.b.serve()

        def change() -> None:
            loop.prefer("epoll" if loop.engine == "uring" else "uring")
            loop.call_later(0.0005, change)

        loop.call_soon_threadsafe(change)
        for _ in range(50):
            for peer, connection in peers:
                assert scene.move(connection, to=scene.b).moved
                assert peer.ask() == "b"
                assert scene.move(connection, to=scene.a).moved
                assert peer.ask(b"x" * 5000) == "a"

        assert loop.stats().swaps > 50


def test_the_old_protocol_hears_that_its_connection_is_lost(
    scene: Scenery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it does with its transport after that has no effect."""
    heard: list[tuple[str, Exception | None]] = []
    lost = threading.Event()

    def connection_lost(protocol: TinyHttp, exc: Exception | None) -> None:
        heard.append((threading.current_thread().name, exc))
        protocol.transport.close()
        protocol.transport.abort()
        lost.set()

    peer, connection = scene.connect()
    scene.b.serve()
    with monkeypatch.context() as patch:
        patch.setattr(TinyHttp, "connection_lost", connection_lost)
        assert scene.move(connection, to=scene.b).moved
        assert lost.wait(ENDS_WITHIN_S)

    assert heard == [("a", None)]
    assert peer.ask() == "b"


def test_many_are_drained(scene: Scenery) -> None:
    peers = scene.connect_many(64)
    scene.b.serve()

    report = asyncio.run(scene.migrator.drain(scene.a.thread, to=scene.b.thread))

    assert (report.moved, report.left) == (64, {})
    assert [peer.ask() for peer in peers] == ["b"] * 64
    assert scene.a.thread.loop.stats().moves_out == 64
    assert scene.b.thread.loop.stats().moves_in == 64


@pytest.mark.parametrize("asker", ["a", "b"])
def test_a_loop_thread_may_ask_for_its_own_connections(
    scene: Scenery, asker: str
) -> None:
    peers = scene.connect_many(4)
    scene.b.serve()
    place: Place = getattr(scene, asker)

    report = place.thread.submit(
        scene.migrator.drain(scene.a.thread, to=scene.b.thread)
    ).result(ENDS_WITHIN_S)

    assert report.moved == 4
    assert [peer.ask() for peer in peers] == ["b"] * 4


# -- What keeps a connection from moving.


def test_half_a_request_inside_a_parser_is_not_moved(scene: Scenery) -> None:
    peer, connection = scene.connect()
    scene.b.serve()
    target = peer.next_target()
    whole = request(target)
    peer.sock.sendall(whole[:9])
    scene.until(lambda: not connection.quiet)

    result = scene.move(connection, to=scene.b)

    assert not result.moved
    peer.sock.sendall(whole[9:])
    assert peer.hear(target) == "a"


def test_a_target_without_a_server_there_leaves_it_alone(scene: Scenery) -> None:
    peer, connection = scene.connect()

    result = scene.move(connection, to=scene.b)

    assert result.reason == "the target has no server on this address"
    assert connection.phase is Phase.SERVING
    assert peer.ask() == "a"


def test_what_the_target_refuses_goes_on_at_the_source(scene: Scenery) -> None:
    def factory() -> asyncio.Protocol:
        raise ValueError("the application is not up")

    peer, connection = scene.connect()
    scene.b.serve(factory)
    reported: list[object] = []
    scene.b.thread.loop.set_exception_handler(lambda _, c: reported.append(c))

    result = scene.move(connection, to=scene.b)

    assert result.reason == "the target's protocol factory failed"
    assert connection.phase is Phase.RETURNED
    assert peer.ask() == "a"
    assert len(reported) == 1


def test_a_target_that_stops_while_it_is_carried_gives_it_back(
    scene: Scenery, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, connection = scene.connect()
    scene.b.serve()
    released = Move.released

    def stop_first(move: Move, what: object) -> None:
        scene.b.stop()
        released(move, what)  # type: ignore[arg-type]

    monkeypatch.setattr(Move, "released", stop_first)

    with pytest.raises(LoopStoppedError, match="stays on its own loop"):
        scene.move(connection, to=scene.b)

    assert connection.phase is Phase.RETURNED
    assert peer.ask() == "a"


# -- What a peer can do at any point of a move.


class At:
    """Calls *act* once, on the thread and at the moment of *point*."""

    def __init__(
        self, point: str, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owner, name, before = POINTS[point]
        original = getattr(owner, name)
        self._act = act
        self._done = threading.Event()

        def hooked(*args: object) -> None:
            if before:
                self._once()
            original(*args)
            if not before:
                self._once()

        monkeypatch.setattr(owner, name, hooked)

    def wait(self) -> None:
        """Wait for *act*: the connection may have arrived before it was called."""
        assert self._done.wait(ENDS_WITHIN_S)

    def _once(self) -> None:
        if not self._done.is_set():
            self._act()
            self._done.set()


# The method's class and name, and whether to act before or after it.
POINTS: dict[str, tuple[type, str, bool]] = {
    "about to settle": (Move, "stopped_reading", True),
    "settling": (Move, "stopped_reading", False),
    "about to be detached": (Move, "released", True),
    "detached": (Move, "released", False),
    "about to be adopted": (MigrationBatch, "_deliver", True),
    "adopted": (Move, "arrive", False),
}


@pytest.fixture(params=POINTS)
def point(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


def test_a_request_sent_at_any_point_is_answered_once(
    scene: Scenery, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, connection = scene.connect()
    scene.b.serve()
    said: list[str] = []
    sending = At(point, lambda: said.append(peer.say(b"body")), monkeypatch)

    result = scene.move(connection, to=scene.b)
    sending.wait()

    assert result.moved
    assert peer.hear(said[0], b"body") in ("a", "b")
    assert peer.ask() == "b"
    assert connection.requests == 3


@pytest.mark.parametrize("sent", [1, 20, 60])
def test_part_of_a_request_sent_at_any_point_is_not_lost(
    scene: Scenery, point: str, sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, connection = scene.connect()
    scene.b.serve()
    target = peer.next_target()
    whole = request(target, b"0123456789")
    sending = At(point, lambda: peer.sock.sendall(whole[:sent]), monkeypatch)

    scene.move(connection, to=scene.b)
    sending.wait()
    peer.sock.sendall(whole[sent:])

    assert peer.hear(target, b"0123456789") in ("a", "b")
    assert peer.ask() in ("a", "b")


@pytest.mark.parametrize("leave", ["resets", "close"])
def test_a_peer_that_leaves_at_any_point_leaves_nothing_behind(
    scene: Scenery, point: str, leave: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, connection = scene.connect()
    scene.b.serve()
    leaving = At(point, getattr(peer, leave), monkeypatch)

    result = scene.move(connection, to=scene.b)
    leaving.wait()

    assert result.moved or result.reason in ("closed", "half-closed")
    scene.until(lambda: connection.phase is Phase.CLOSED)
    assert scene.a.thread.connections == scene.b.thread.connections == []


def test_a_half_close_at_any_point_is_heard(
    scene: Scenery, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, connection = scene.connect()
    scene.b.serve()
    closing = At(point, lambda: peer.sock.shutdown(socket.SHUT_WR), monkeypatch)

    scene.move(connection, to=scene.b)
    closing.wait()

    assert peer.hears_the_end()


# -- Under load.


@pytest.mark.timeout(120)
def test_two_thousand_moves_back_and_forth_under_load_lose_nothing(
    scene: Scenery,
) -> None:
    callers = [Caller(peer) for peer in scene.connect_many(20)]
    scene.b.serve()
    for caller in callers:
        caller.start()

    moved = 0
    there, back = scene.a.thread, scene.b.thread
    while moved < 2000:
        report = asyncio.run(scene.migrator.drain(there, to=back))
        assert report.left == {}
        moved += report.moved
        there, back = back, there
    for caller in callers:
        caller.hang_up(ENDS_WITHIN_S)

    assert [caller.failed for caller in callers] == [None] * 20
    assert all({"a", "b"} <= set(caller.answered_by) for caller in callers)
    assert scene.migrator.stats.left == {}


def answers(peer: Peer) -> bool:
    try:
        return peer.ask() == "a"
    except (AssertionError, OSError):
        return False


def test_a_target_that_stops_midway_under_load_leaves_the_others_unharmed(
    scene: Scenery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that it serves already end with it, as requested."""
    callers = [Caller(peer) for peer in scene.connect_many(20)]
    scene.b.serve()
    arrived = threading.Event()
    arrive = Move.arrive

    def arriving(move: Move) -> None:
        arrive(move)
        arrived.set()

    monkeypatch.setattr(Move, "arrive", arriving)
    for caller in callers:
        caller.start()
    draining = scene.a.thread.submit(
        Migrator(max_in_flight=2).drain(scene.a.thread, to=scene.b.thread)
    )

    assert arrived.wait(ENDS_WITHIN_S)
    scene.b.stop()

    report = draining.result(ENDS_WITHIN_S)
    assert report.moved + sum(report.left.values()) == 20
    assert report.left.keys() <= {
        "the target has no server on this address",
        "the target has stopped",
    }
    for caller in callers:
        caller.hang_up(ENDS_WITHIN_S)
    # A caller may have hung up between its answer and the end: so ask once more.
    unharmed = [caller for caller in callers if answers(caller.peer)]
    assert len(unharmed) == 20 - report.moved
    assert [caller.failed for caller in unharmed] == [None] * len(unharmed)
    assert len(scene.a.thread.connections) == 20 - report.moved

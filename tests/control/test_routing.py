"""New connections go to the chosen thread, and none has to wait."""

import asyncio
import socket
from contextlib import closing

import pytest
from migration.real import ENDS_WITHIN_S, Peer, Place, Scenery, scenery

import aioadapt
from aioadapt import LoopStoppedError
from aioadapt.standby.routing import NoServerError, astray, route

from .grounds import also_serving

ENGINES = ["epoll", *(["uring"] if aioadapt.uring_support().available else [])]

both_ways = pytest.mark.parametrize(
    ("engine_a", "engine_b"), [(a, b) for a in ENGINES for b in ENGINES]
)


def answers(address: tuple[str, int]) -> str:
    with closing(Peer(address)) as peer:
        return peer.ask()


def goes(scene: Scenery, to: Place) -> None:
    (other,) = {scene.a, scene.b} - {to}
    asyncio.run(route(to.thread, away_from=[other.thread]))


@both_ways
def test_new_connections_go_to_one_thread_and_back(
    engine_a: str, engine_b: str
) -> None:
    with scenery(engine_a, engine_b) as scene:
        scene.b.serve()
        for place, name in ((scene.b, "b"), (scene.a, "a"), (scene.b, "b")):
            goes(scene, place)
            # The other may still serve what it accepted just before.
            place_other = scene.a if place is scene.b else scene.b
            place_other.run_iterations()
            assert [answers(scene._address) for _ in range(8)] == [name] * 8


@both_ways
def test_established_connections_stay_where_they_are(
    engine_a: str, engine_b: str
) -> None:
    with scenery(engine_a, engine_b) as scene:
        peer, _ = scene.connect()
        scene.b.serve()

        goes(scene, scene.b)

        assert peer.ask() == "a"


def test_a_thread_without_that_server_is_not_routed_to() -> None:
    with scenery("epoll", "epoll") as scene:
        with pytest.raises(NoServerError, match=r"'b'.*no server.*127\.0\.0\.1"):
            goes(scene, scene.b)

        assert answers(scene._address) == "a"


def test_a_stopped_thread_is_not_routed_to() -> None:
    with scenery("epoll", "epoll") as scene:
        scene.b.serve()
        goes(scene, scene.a)
        scene.b.stop()

        with pytest.raises((LoopStoppedError, NoServerError)):
            goes(scene, scene.b)

        assert answers(scene._address) == "a"


def test_a_server_that_only_one_thread_has_goes_on_accepting() -> None:
    """For example, an application's own server on another port."""
    with (
        scenery("epoll", "epoll") as scene,
        socket.create_server(("127.0.0.1", 0)) as own,
        also_serving(scene.a.thread, own),
    ):
        scene.b.serve()

        goes(scene, scene.b)

        assert answers(own.getsockname()) == "a"


def test_a_server_that_was_started_later_is_noticed() -> None:
    with scenery("epoll", "epoll") as scene:
        a, b = scene.a.thread, scene.b.thread
        assert not astray(a, [b])
        scene.b.serve()
        assert astray(a, [b])

        goes(scene, scene.a)

        assert not astray(a, [b])
        scene.b.run_iterations()
        assert answers(scene._address) == "a"


def test_no_connection_waits_while_it_changes() -> None:
    """If nobody accepted for a moment, one of many connections would notice."""
    with scenery("epoll", "epoll") as scene:
        scene.b.serve()
        answered: set[str] = set()
        for number in range(30):
            goes(scene, (scene.a, scene.b)[number % 2])
            with closing(Peer(scene._address)) as peer:
                peer.sock.settimeout(ENDS_WITHIN_S)
                answered.add(peer.ask())
        assert answered == {"a", "b"}

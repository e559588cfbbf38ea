"""What moves and drains leave behind, on real loops."""

import gc
import threading
from collections.abc import Iterator

import pytest

import aioadapt
from aioadapt._stream.stream import Stream

from .real import ENDS_WITHIN_S, Scenery, TinyHttp, request, scenery

URING = aioadapt.uring_support()
WAYS = ["epoll>uring", "uring>epoll"]


@pytest.fixture(params=WAYS)
def scene(request: pytest.FixtureRequest) -> Iterator[Scenery]:
    if not URING.available:
        pytest.skip(URING.reason)
    with scenery(*request.param.split(">")) as scene:
        yield scene


def streams_alive() -> int:
    gc.collect()
    return sum(type(each) is Stream for each in gc.get_objects())


def test_a_drain_that_ran_out_of_time_keeps_no_ended_streams_alive(
    scene: Scenery,
) -> None:
    """They still have pending releases when they end."""
    before = streams_alive()
    peers = scene.connect_many(8)
    scene.b.serve()
    for peer in peers:
        peer.sock.sendall(request("/half")[:9])
    scene.until(lambda: not any(c.quiet for c in scene.a.thread.connections))

    report = scene.a.thread.submit(
        scene.migrator.drain(scene.a.thread, to=scene.b.thread, timeout_s=0.05)
    ).result(ENDS_WITHIN_S)
    assert report.moved == 0
    for peer in peers:
        peer.close()
    scene.until(lambda: not scene.a.thread.connections)
    scene.a.run_iterations()

    assert streams_alive() == before


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("way", WAYS)
def test_a_target_that_exits_while_it_adopts_is_the_only_owner(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection had arrived: the source must not serve it again, and no other
    owner may close its descriptor."""

    class Exits(TinyHttp):
        def connection_made(self, transport: object) -> None:
            raise SystemExit(3)

    if not URING.available:
        pytest.skip(URING.reason)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    # Not the fixture, which would still exist when leftovers are checked.
    with scenery(*way.split(">")) as scene:
        _, connection = scene.connect()
        stays, _ = scene.connect()
        scene.b.serve(Exits)

        result = scene.move(connection, to=scene.b)

        assert result.moved
        assert connection not in scene.a.thread.connections
        assert stays.ask() == "a"
        scene.b.thread.stop(ENDS_WITHIN_S)
        assert "failed with SystemExit(3)" in repr(scene.b.thread)

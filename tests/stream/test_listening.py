"""Listeners: pausing loses no queued connection, and closing frees the port."""

import asyncio
import gc
import os
import socket
from typing import Any

import pytest
from loops import LoopFactory, Reported

from .conftest import Recorder, Scene

pytestmark = pytest.mark.ours_only


def listener_of(scene: Scene, server: asyncio.Server) -> Any:
    return scene.loop.listeners[server.sockets[0].fileno()]


def test_connections_that_come_while_accepting_is_paused_wait_in_the_queue(
    scene: Scene,
) -> None:
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server = scene.serve(factory)
    listener = listener_of(scene, server)
    scene.run_iterations(2)
    listener.pause()
    scene.run_iterations(2)
    peers = [scene.connect(server) for _ in range(20)]
    for number, peer in enumerate(peers):
        peer.send(b"%d" % number)
    scene.run_iterations(5)
    assert (listener.is_accepting, len(protocols)) == (False, 0)

    listener.resume()

    scene.until(lambda: len(protocols) == 20)
    scene.until(lambda: all(p.received for p in protocols))
    assert sorted(int(p.received) for p in protocols) == list(range(20))


@pytest.mark.parametrize("iterations", [0, 1])
def test_pausing_and_resuming_while_connections_come_loses_none(
    scene: Scene, iterations: int
) -> None:
    """Even one accepted at the moment of the pause is served."""
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server = scene.serve(factory)
    listener = listener_of(scene, server)
    peers = []
    for number in range(60):
        peers.append(scene.connect(server))
        peers[-1].send(b"%d" % number)
        if number % 3 == 0:
            listener.pause()
        scene.run_iterations(iterations)
        if number % 2 == 0:
            listener.resume()
    listener.resume()

    scene.until(lambda: len(protocols) == 60)
    scene.until(lambda: all(p.received for p in protocols))
    assert sorted(int(p.received) for p in protocols) == list(range(60))


def test_a_connection_that_comes_while_accepting_is_paused_is_served_later(
    scene: Scene,
) -> None:
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server = scene.serve(factory)
    listener = listener_of(scene, server)
    scene.run_iterations(2)
    peer = scene.connect(server)
    peer.send(b"served")
    # Ready callbacks run between reaping and dispatching.
    scene.loop.call_soon(listener.pause)
    scene.run_iterations(5)
    assert protocols == []
    listener.resume()

    scene.until(lambda: protocols and protocols[0].received == b"served")


def test_pausing_twice_and_resuming_twice_is_harmless(scene: Scene) -> None:
    server = scene.serve(Recorder)
    listener = listener_of(scene, server)
    for call in (listener.pause, listener.pause, listener.resume, listener.resume):
        call()
        scene.run_iterations()

    scene.accept(server)


def test_a_listener_of_a_closed_server_does_not_resume(scene: Scene) -> None:
    server = scene.serve(Recorder)
    listener = listener_of(scene, server)
    server.close()
    listener.resume()

    assert not listener.is_accepting


def test_the_port_is_free_when_the_server_has_been_closed(scene: Scene) -> None:
    """Immediately, before the loop's next iteration."""
    for _ in range(20):
        server = scene.serve(Recorder)
        address = server.sockets[0].getsockname()
        scene.run_iterations(2)
        server.close()
        with socket.socket() as another:
            another.bind(address)
            another.listen()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning")
def test_the_port_is_free_when_the_loop_has_been_closed(
    loop_factory: LoopFactory,
) -> None:
    """The server itself was not closed; its socket object is only freed."""
    for _ in range(5):
        loop = loop_factory()
        server = loop.run_until_complete(loop.create_server(Recorder, "127.0.0.1", 0))
        address = server.sockets[0].getsockname()
        loop.close()
        for sock in server.sockets:
            os.close(socket.socket.detach(sock._sock))  # type: ignore[attr-defined]
        del server, sock
        gc.collect()
        with socket.socket() as another:
            another.bind(address)
            another.listen()


def test_a_port_can_be_served_again_by_the_next_loop(
    loop_factory: LoopFactory,
) -> None:
    port = 0
    for _ in range(10):
        loop = loop_factory()
        server = loop.run_until_complete(
            loop.create_server(Recorder, "127.0.0.1", port)
        )
        port = server.sockets[0].getsockname()[1]
        server.close()
        loop.close()


def test_a_server_that_its_own_factory_closes_drops_that_connection_once(
    loop_factory: LoopFactory, reported: Reported
) -> None:
    """asyncio's Server then refuses the transport, and the descriptor must be closed
    by only one owner."""
    loop = loop_factory()
    loop.set_debug(True)
    loop.set_exception_handler(lambda _, context: reported.append(context))
    scene = Scene(loop)
    servers: list[asyncio.Server] = []

    def factory() -> Recorder:
        servers[0].close()
        return Recorder()

    servers.append(scene.serve(factory))
    peer = scene.connect(servers[0])
    closed: list[int] = []
    scene.until(lambda: reported)
    # A second close of the same number would close one of these.
    mine = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
    gc.collect()
    scene.run_iterations(3)
    for fd in mine:
        os.close(fd)
        closed.append(fd)

    assert len(closed) == 20
    assert peer.recv(1) == b""
    assert reported.pop()["message"].startswith("Error on transport creation")
    scene.close()


def test_a_failing_factory_costs_one_connection_and_no_descriptor(
    scene: Scene, reported: Reported
) -> None:
    scene.loop.set_debug(True)  # asyncio reports it only in debug mode
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        if not protocols:
            protocols.append(Recorder())
            raise ValueError("not the first")
        protocols.append(Recorder())
        return protocols[-1]

    server = scene.serve(factory)
    first = scene.connect(server)
    scene.until(lambda: protocols)
    scene.accept(server)

    assert first.recv(1) == b""
    assert "not the first" in str(reported.pop()["exception"])


def test_many_connections_are_accepted_in_one_iteration(scene: Scene) -> None:
    """Not just one: a thousand would have their first answers a second late."""
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server = scene.serve(factory)
    scene.run_iterations(2)
    for _ in range(80):
        scene.connect(server)
    scene.run_iterations(80 // 16 + 2)

    assert len(protocols) == 80


def test_a_server_of_every_address_is_found_by_each_of_them(scene: Scene) -> None:
    """A connection from another loop has the address on which it was accepted."""
    loop = scene.loop
    server = loop.run_until_complete(loop.create_server(Recorder, "0.0.0.0", 0))
    _, port = server.sockets[0].getsockname()

    assert loop.serving_on(("127.0.0.1", port)) == (Recorder, server)
    assert loop.serving_on(("127.0.0.1", port ^ 1)) is None
    assert loop.serving_on("/a/path") is None
    server.close()

"""Received bytes are held while reading is paused, and delivered once, in order."""

import asyncio
import socket
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loops import LoopFactory

from aioadapt._testing.inside import found_inside

from .conftest import KeepsOpen, Recorder, Scene

pytestmark = pytest.mark.ours_only


class Pauses(KeepsOpen):
    """Pauses, resumes or does both in the middle of a delivery."""

    def __init__(self) -> None:
        super().__init__()
        self.reactions: list[str] = []

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.reactions:
            for call in self.reactions.pop().split():
                getattr(self.transport, f"{call}_reading")()


def connected(loop: Any, protocol: Recorder, family: int) -> socket.socket:
    if family == socket.AF_UNIX:
        ours, peer = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            peer, _ = listener.accept()
    loop.run_until_complete(loop.create_connection(lambda: protocol, sock=ours))
    return peer


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 50)),
        st.tuples(st.just("send"), st.integers(1, 50_000)),
        st.tuples(st.just("pause"), st.just(0)),
        st.tuples(st.just("resume"), st.just(0)),
        st.tuples(st.just("turn"), st.integers(1, 3)),
        st.tuples(st.just("react"), st.integers(0, 4)),
    ),
    max_size=30,
)
REACTIONS = ("pause", "resume", "pause resume", "pause resume pause", "resume pause")


@pytest.mark.parametrize(
    "family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"]
)
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_every_byte_is_delivered_once_and_in_order_however_reading_is_paused(
    loop_factory: LoopFactory, family: int, steps: list[tuple[str, int]]
) -> None:
    loop = loop_factory()
    scene = Scene(loop)
    protocol = Pauses()
    peer = connected(loop, protocol, family)
    sent = bytearray()
    for what, argument in steps:
        if what == "send":
            piece = bytes((len(sent) + i) % 251 for i in range(argument))
            peer.setblocking(False)
            try:
                sent += piece[: peer.send(piece)]
            except BlockingIOError:
                pass
        elif what == "turn":
            scene.run_iterations(argument)
        elif what == "react":
            protocol.reactions.append(REACTIONS[argument])
        else:
            paused = not protocol.transport.is_reading()
            before = len(protocol.received)
            getattr(protocol.transport, f"{what}_reading")()
            assert len(protocol.received) == before, "nothing is delivered inside"
            if what == "pause" and not paused:
                scene.run_iterations(3)
                assert len(protocol.received) == before, "nor while it is paused"
    peer.shutdown(socket.SHUT_WR)

    def finished() -> bool:
        protocol.transport.resume_reading()
        return "eof" in protocol.calls

    scene.until(finished)
    assert protocol.received == sent
    protocol.transport.abort()
    scene.until(lambda: "lost" in protocol.calls)
    peer.close()
    loop.close()


def test_what_was_taken_already_is_held_when_another_connection_pauses_it(
    scene: Scene,
) -> None:
    """Both completions are reaped before the first is dispatched."""
    protocols: list[Recorder] = []

    class PausesTheOther(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            for other in protocols:
                if other is not self:
                    other.transport.pause_reading()

    def factory() -> Recorder:
        protocols.append(PausesTheOther())
        return protocols[-1]

    server = scene.serve(factory)
    peers = [scene.accept(server)[0] for _ in range(2)]
    for peer in peers:
        peer.send(b"words")
    scene.until(lambda: any(p.received for p in protocols))
    scene.run_iterations(3)
    first, second = sorted(protocols, key=lambda p: not p.received)
    assert [bytes(p.received) for p in (first, second)] == [b"words", b""]

    peers[protocols.index(second)].send(b" and more")
    scene.run_iterations(3)
    assert second.received == b""
    second.transport.resume_reading()
    scene.until(lambda: second.received == b"words and more")


def test_an_interrupt_while_held_bytes_are_delivered_leaves_nothing_deaf(
    scene: Scene,
) -> None:
    """What KeyboardInterrupt cut short continues when the loop runs again."""
    protocols: list[Recorder] = []

    class Http1Protocol(Recorder):
        interrupts = False

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.interrupts:
                self.interrupts = False
                raise KeyboardInterrupt
            for other in protocols:
                if other is not self:
                    other.transport.pause_reading()

    def factory() -> Recorder:
        protocols.append(Http1Protocol())
        return protocols[-1]

    server = scene.serve(factory)
    peers = [scene.accept(server)[0] for _ in range(2)]
    for peer in peers:
        peer.send(b"one")
    scene.until(lambda: any(p.received for p in protocols))
    scene.run_iterations(3)
    second = next(p for p in protocols if not p.received)
    assert isinstance(second, Http1Protocol)
    peer = peers[protocols.index(second)]

    second.interrupts = True
    second.transport.resume_reading()
    with pytest.raises(KeyboardInterrupt):
        scene.run_iterations(5)
    scene.run_iterations(2)
    peer.send(b" two")

    scene.until(lambda: second.received == b"one two")


def test_when_every_buffer_is_lent_out_a_receive_waits_an_iteration_and_loses_nothing(
    scene: Scene,
) -> None:
    """Three hundred connections start to read in one iteration, and each has bytes
    waiting."""
    count = 300
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server = scene.serve(factory, backlog=count)
    with ExitStack() as stack:
        peers = []
        for _ in range(count):
            peers.append(scene.connect(server))
            stack.enter_context(peers[-1])
        scene.until(lambda: len(protocols) == count)
        for protocol in protocols:
            protocol.transport.pause_reading()
        # Only the listener's accept is left in the kernel.
        scene.until(lambda: scene.loop.stats().in_kernel <= 1)
        for number, peer in enumerate(peers):
            peer.send(b"from %d" % number)
        for protocol in protocols:
            protocol.transport.resume_reading()
        expected = {b"from %d" % number for number in range(count)}
        scene.until(lambda: {bytes(p.received) for p in protocols} == expected)
        if scene.loop.engine == "uring":
            assert scene.loop.stats().enobufs > 0
        # All of them still read.
        for peer in peers:
            peer.send(b"again")
        scene.until(lambda: all(p.received.endswith(b"again") for p in protocols))


@pytest.mark.parametrize("paused", [False, True])
def test_a_half_close_leaves_the_other_direction_open(
    scene: Scene, paused: bool
) -> None:
    protocol = KeepsOpen()
    server = scene.serve(lambda: protocol)
    peer, stream = scene.accept(server)
    if paused:
        protocol.transport.pause_reading()
    peer.sendall(b"the last words")
    peer.shutdown(socket.SHUT_WR)
    scene.run_iterations(3)
    protocol.transport.write(b"an answer")
    if paused:
        assert protocol.received == b""
        protocol.transport.resume_reading()

    scene.until(lambda: "eof" in protocol.calls)
    assert protocol.received == b"the last words"
    assert peer.recv(100) == b"an answer"
    assert not stream.closed
    protocol.transport.write(b"and another")
    protocol.transport.close()
    scene.until(lambda: protocol.calls == ["made", "eof", "lost"])
    assert peer.recv(100, socket.MSG_WAITALL) == b"and another"


def test_our_own_half_close_comes_after_what_was_written(scene: Scene) -> None:
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)
    protocol.transport.write(b"x" * 1_000_000)
    protocol.transport.write_eof()
    with pytest.raises(RuntimeError, match="write_eof"):
        protocol.transport.write(b"too late")
    got = bytearray()
    peer.setblocking(False)

    def ended() -> bool:
        try:
            more = peer.recv(1 << 16)
        except BlockingIOError:
            return False
        got.extend(more)
        return not more

    scene.until(ended)
    assert len(got) == 1_000_000
    peer.setblocking(True)
    peer.send(b"we still speak")
    scene.until(lambda: protocol.received == b"we still speak")


def test_one_that_always_has_more_does_not_hold_up_the_others(scene: Scene) -> None:
    """Reads are bounded: the second is served long before the first has been read."""
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server = scene.serve(factory)
    flood, word = (scene.accept(server)[0] for _ in range(2))
    flood.setblocking(False)
    try:
        while True:
            flood.send(b"x" * 100_000)
    except BlockingIOError:
        pass
    word.send(b"me too")
    scene.run_iterations(3)

    assert protocols[1].received == b"me too"


def test_a_buffer_is_given_back_when_its_stream_has_ended_meanwhile(
    scene: Scene,
) -> None:
    """Both have sent, so both completions are in one batch; the first to run aborts
    the other.  If that one's buffer leaked, the loop would run out of buffers."""
    protocols: list[Recorder] = []

    class AbortsTheOther(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            for other in protocols:
                if other is not self:
                    other.transport.abort()

    def factory() -> Recorder:
        protocols.append(AbortsTheOther())
        return protocols[-1]

    server = scene.serve(factory)
    for _ in range(3):
        protocols.clear()
        pairs = [scene.accept(server) for _ in range(2)]
        for peer, _ in pairs:
            peer.send(b"both at once")
        scene.until(lambda: sum(p.calls == ["made", "lost"] for p in protocols) == 1)
        assert sorted(bytes(p.received) for p in protocols) == [b"", b"both at once"]
        assert found_inside(scene.loop) == []


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("hears_first", [False, True])
def test_connection_lost_is_called_when_the_kernel_holds_nothing_of_it(
    scene: Scene, how: str, hears_first: bool
) -> None:
    """Its descriptor is closed then, and the next file may get the number."""

    def in_kernel() -> int:
        return getattr(scene.loop.stats(), "in_kernel", 0) or 0

    class Looks(Recorder):
        in_kernel = -1

        def data_received(self, data: bytes) -> None:
            # The callbacks that this schedules run in the same iteration.
            getattr(self.transport, how)()

        def connection_lost(self, exc: BaseException | None) -> None:
            self.in_kernel = in_kernel()
            super().connection_lost(exc)

    scene.run_iterations(2)
    before = in_kernel()
    protocol = Looks()
    ours, peer = socket.socketpair()
    loop = scene.loop
    loop.run_until_complete(loop.create_connection(lambda: protocol, sock=ours))
    scene.run_iterations(2)

    if hears_first:
        peer.send(b"x")
    else:
        loop.call_soon(getattr(protocol.transport, how))
    scene.until(lambda: "lost" in protocol.calls)

    assert protocol.in_kernel == before
    peer.close()


class Counts(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.sizes.append(len(data))


def send_all(peer: socket.socket, size: int) -> None:
    """Once it returns, all of it is in the other end's receive queue."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * size)
    peer.sendall(b"x" * size)


@pytest.mark.parametrize(
    "family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"]
)
def test_what_has_arrived_is_delivered_in_one_piece(scene: Scene, family: int) -> None:
    """A protocol that pauses after each piece is as fast as over asyncio."""
    protocol = Counts()
    peer = connected(scene.loop, protocol, family)
    for _ in range(2):  # in either mode of the driver
        send_all(peer, 60_000)
        scene.run_iterations(3)
    for _ in range(40):  # and back to the first
        peer.sendall(b"small")
        scene.run_iterations(2)
    send_all(peer, 60_000)
    scene.run_iterations(3)

    assert protocol.sizes == [60_000, 60_000, *[5] * 40, 60_000]
    peer.close()


def test_what_is_held_is_delivered_in_one_piece(scene: Scene) -> None:
    protocol = Counts()
    peer = connected(scene.loop, protocol, socket.AF_INET)

    async def pause_when_it_has_arrived() -> None:
        for _ in range(5):
            peer.sendall(b"held")
            await asyncio.sleep(0)
            protocol.transport.pause_reading()
        peer.sendall(b"and more")
        await asyncio.sleep(0)
        protocol.transport.resume_reading()

    scene.loop.run_until_complete(pause_when_it_has_arrived())
    scene.until(lambda: len(protocol.received) == 28)

    assert len(protocol.sizes) <= 3
    peer.close()


def test_pausing_and_resuming_in_one_callback_costs_nothing_in_the_kernel(
    scene: Scene,
) -> None:
    protocol = Recorder()
    peer = connected(scene.loop, protocol, socket.AF_INET)

    async def pause_and_resume() -> int:
        before = scene.loop.stats()
        for _ in range(1000):
            protocol.transport.pause_reading()
            protocol.transport.resume_reading()
        await asyncio.sleep(0)
        after = scene.loop.stats()
        return int(after.cancels - before.cancels)

    assert scene.loop.run_until_complete(pause_and_resume()) == 0
    peer.send(b"and it still reads")
    scene.until(lambda: protocol.received == b"and it still reads")
    peer.close()

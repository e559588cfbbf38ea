"""AdaptiveEventLoop: connections that are given the other engine while they live."""

import asyncio
import random
import resource
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from loops import SwappingEventLoop, factory_of, or_skip, run_iterations

import aioadapt

ENGINES = ("epoll", "uring")
WITHIN_S = 20.0


@pytest.fixture
def loop() -> Iterator[aioadapt.AdaptiveEventLoop]:
    or_skip("uring")
    loop = aioadapt.AdaptiveEventLoop()
    yield loop
    loop.close()


class Recorder(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.got = b""
        self.events: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data

    def eof_received(self) -> bool:
        self.events.append("eof")
        return True

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.events.append(f"lost {error}")


class Pair:
    """A connection of the loop, and a plain socket as its peer."""

    def __init__(self, loop: aioadapt.AdaptiveEventLoop, engine: str = "epoll") -> None:
        self.loop = loop
        ours, self.peer = socket.socketpair()
        ours.setblocking(False)
        self.peer.settimeout(5)
        _, self.protocol = loop.run_until_complete(
            loop.create_connection(Recorder, sock=ours)
        )
        self.transport = self.protocol.transport
        if engine != self.engine:
            self.loop.swap(self.transport, engine)
            self.turn()
        assert self.engine == engine

    @property
    def engine(self) -> Any:
        return self.transport.get_extra_info("engine")

    def turn(self, count: int = 3) -> None:
        run_iterations(self.loop, count)


@pytest.fixture(params=ENGINES)
def pair(request: Any, loop: aioadapt.AdaptiveEventLoop) -> Iterator[Pair]:
    """It is on one engine, and is to be given the other one."""
    pair = Pair(loop, request.param)
    yield pair
    pair.transport.abort()
    pair.turn()
    pair.peer.close()


def other(pair: Pair) -> str:
    return "epoll" if pair.engine == "uring" else "uring"


def test_bytes_that_come_before_during_and_after_are_in_order(pair: Pair) -> None:
    pair.peer.sendall(b"before,")
    pair.loop.swap(pair.transport, other(pair))
    pair.peer.sendall(b"queued,")
    run_iterations(pair.loop)  # it detaches
    pair.peer.sendall(b"during,")
    pair.turn()
    pair.peer.sendall(b"after")
    pair.turn()

    assert pair.protocol.got == b"before,queued,during,after"
    assert pair.loop.stats().swaps >= 1


def test_it_is_served_again_before_the_iteration_ends(pair: Pair) -> None:
    """Also where the protocol of another one, which is swapped with it, writes."""
    to = other(pair)
    second = Pair(pair.loop, pair.engine)
    second.protocol.data_received = second.transport.write
    second.peer.sendall(b"echo")

    for each in (second, pair):
        pair.loop.swap(each.transport, to)
    run_iterations(pair.loop)

    assert pair.loop.stats().swaps >= 2
    assert second.peer.recv(4) == b"echo"
    second.transport.abort()
    pair.turn()
    second.peer.close()


def test_what_a_swap_leaves_to_dispatch_delays_nobody(
    loop: aioadapt.AdaptiveEventLoop,
) -> None:
    leaving, on_ring, on_epoll = Pair(loop, "uring"), Pair(loop, "uring"), Pair(loop)

    async def main() -> tuple[bytes, bytes]:
        loop.swap(leaving.transport, "epoll")
        on_ring.peer.sendall(b"a")
        on_epoll.peer.sendall(b"b")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return on_ring.protocol.got, on_epoll.protocol.got

    assert loop.run_until_complete(main()) == (b"a", b"b")
    for pair in (leaving, on_ring, on_epoll):
        pair.transport.abort()
        pair.peer.close()
    run_iterations(loop, 2)


def test_an_end_that_comes_meanwhile_is_told_once(pair: Pair) -> None:
    pair.loop.swap(pair.transport, other(pair))
    pair.peer.sendall(b"last")
    pair.peer.shutdown(socket.SHUT_WR)
    pair.turn(6)
    pair.loop.swap(pair.transport, other(pair))
    pair.turn(6)

    assert (pair.protocol.got, pair.protocol.events) == (b"last", ["eof"])


def test_what_waits_for_room_is_sent_by_the_new_engine(pair: Pair) -> None:
    sent = random.Random(1).randbytes(2_000_000)
    pair.transport.write(sent)
    pair.loop.swap(pair.transport, other(pair))
    pair.transport.write(b"and more")
    pair.turn()
    got = bytearray()
    while len(got) < len(sent) + 8:
        got += pair.peer.recv(1 << 20)
        pair.turn(2)

    assert bytes(got) == sent + b"and more"
    assert pair.protocol.events == ["pause", "resume"]


def test_a_close_with_bytes_waiting_flushes_them(pair: Pair) -> None:
    pair.transport.write(bytes(1_000_000))
    pair.loop.swap(pair.transport, other(pair))
    pair.transport.close()
    received = 0
    while data := pair.peer.recv(1 << 20):
        received += len(data)
        pair.turn(2)

    assert received == 1_000_000
    assert pair.protocol.events[-1] == "lost None"


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_it_may_end_meanwhile(pair: Pair, how: str, turns: int) -> None:
    pair.loop.swap(pair.transport, other(pair))
    if turns:
        run_iterations(pair.loop, turns)
    getattr(pair.transport, how)()
    pair.turn()

    assert pair.protocol.events == ["lost None"]
    assert pair.peer.recv(1) == b""
    assert pair.loop.stats().in_kernel == 0


def test_a_paused_one_stays_paused(pair: Pair) -> None:
    pair.transport.pause_reading()
    pair.peer.sendall(b"held back")
    pair.loop.swap(pair.transport, other(pair))
    pair.turn()
    assert pair.protocol.got == b""

    pair.transport.resume_reading()
    pair.turn()
    assert pair.protocol.got == b"held back"


def test_there_and_back_before_it_begins_is_no_swap(pair: Pair) -> None:
    there, back = other(pair), pair.engine
    pair.loop.swap(pair.transport, there)
    pair.loop.swap(pair.transport, back)
    pair.turn()

    assert pair.engine == back
    assert pair.loop.stats().swaps <= 1  # the fixture's own
    pair.peer.sendall(b"alive")
    pair.turn()
    assert pair.protocol.got == b"alive"


def test_the_loop_may_stop_meanwhile_and_run_on_another_thread(pair: Pair) -> None:
    pair.loop.swap(pair.transport, other(pair))
    run_iterations(pair.loop)  # it stops while the driver detaches
    pair.peer.sendall(b"between")
    thread = threading.Thread(target=pair.turn, args=(6,))
    thread.start()
    thread.join()

    assert pair.protocol.got == b"between"
    pair.turn()


def test_live_connections_follow_and_new_ones_begin_there(
    loop: aioadapt.AdaptiveEventLoop,
) -> None:
    pairs = [Pair(loop) for _ in range(150)]
    loop.prefer("uring")
    run_iterations(loop, 8)

    assert {pair.engine for pair in pairs} == {"uring"}
    assert (loop.engine, loop.stats().on_uring) == ("uring", len(pairs))
    assert sum(loop.stats().swap_pauses) == len(pairs)
    late = Pair(loop, "uring")
    assert late.loop.stats().swaps == len(pairs)

    loop.prefer("epoll")
    run_iterations(loop, 12)
    assert loop.stats().on_uring == 0
    for pair in [*pairs, late]:
        assert pair.engine == "epoll"
        pair.transport.abort()
        pair.peer.close()
    run_iterations(loop, 2)


def test_the_ring_comes_with_its_first_connection_and_goes_after_its_last(
    loop: aioadapt.AdaptiveEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioadapt.adaptive_loop.RING_IDLE_S", 0.01)
    assert not loop.has_ring()
    pair = Pair(loop, "uring")
    assert loop.has_ring()

    loop.swap(pair.transport, "epoll")
    loop.run_until_complete(asyncio.sleep(0.05))

    assert not loop.has_ring()
    pair.peer.sendall(b"on")
    pair.turn()
    assert pair.protocol.got == b"on"
    loop.swap(pair.transport, "uring")
    pair.turn()
    assert loop.has_ring()
    pair.transport.abort()
    pair.turn()
    pair.peer.close()


@pytest.fixture
def no_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_loop: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(aioadapt.AdaptiveEventLoop, "open_ring", refused)


@pytest.mark.usefixtures("no_ring")
def test_without_a_ring_a_connection_stays_where_it_is(
    loop: aioadapt.AdaptiveEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(loop)
    loop.swap(pair.transport, "uring")
    pair.turn()

    assert pair.engine == "epoll"
    assert "connections are on epoll: no io_uring now" in caplog.text
    pair.transport.abort()
    pair.turn()
    pair.peer.close()


@pytest.mark.usefixtures("no_ring")
def test_without_a_ring_nobody_follows_and_it_is_said_once(
    loop: aioadapt.AdaptiveEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = [Pair(loop) for _ in range(3)]
    loop.prefer("uring")
    run_iterations(loop, 3)

    assert loop.engine == "epoll"
    assert loop.stats().swaps == 0
    assert caplog.text.count("Too many open files") == 1
    for pair in pairs:
        pair.transport.abort()
        pair.peer.close()
    run_iterations(loop, 2)


def test_where_the_next_thread_gets_no_ring_the_loop_goes_on_with_epoll(
    loop: aioadapt.AdaptiveEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = [Pair(loop, "uring") for _ in range(3)]
    pairs[0].transport.pause_reading()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def run_without_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            run_iterations(loop, 3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    for pair in pairs:
        pair.peer.sendall(b"on")
    thread = threading.Thread(target=run_without_descriptors)
    thread.start()
    thread.join()

    assert "connections are on epoll: no io_uring now" in caplog.text
    assert [pair.engine for pair in pairs] == ["epoll"] * 3
    assert [pair.protocol.got for pair in pairs] == [b"", b"on", b"on"]
    for pair in pairs:
        pair.transport.abort()
        pair.peer.close()
    run_iterations(loop, 2)


def test_what_cannot_be_swapped_is_refused(loop: aioadapt.AdaptiveEventLoop) -> None:
    pair = Pair(loop)
    with pytest.raises(aioadapt.UnknownEngineError, match="known: 'epoll', 'uring'"):
        loop.swap(pair.transport, "auto")
    with pytest.raises(aioadapt.UnknownEngineError, match="'kqueue'"):
        loop.prefer("kqueue")
    with pytest.raises(TypeError, match="no engine to swap"):
        loop.swap(asyncio.Transport(), "uring")
    another = aioadapt.AdaptiveEventLoop()
    with pytest.raises(ValueError, match="another loop"):
        another.swap(pair.transport, "uring")
    another.close()
    pair.transport.abort()
    pair.turn()
    pair.peer.close()


# -- the controller ---------------------------------------------------------------

EAGER = aioadapt.Thresholds(
    tick_s=0.01,
    up_connections=4,
    down_connections=2,
    snap_connections=4,
    sustain_ticks=1,
    cooldown_s=0.0,
    lock_switches=1000,
    quiet_events_per_s=0.0,
)


def test_connections_follow_the_load_up_and_down() -> None:
    or_skip("uring")
    loop = aioadapt.AdaptiveEventLoop(thresholds=EAGER)
    pairs = [Pair(loop) for _ in range(6)]

    def busy_until(engine: str) -> None:
        async def busy() -> None:
            async with asyncio.timeout(WITHIN_S):
                while any(pair.engine != engine for pair in pairs):
                    for pair in pairs:
                        pair.peer.send(b"x")
                    await asyncio.sleep(0.001)

        loop.run_until_complete(busy())

    busy_until("uring")
    assert loop.decisions[-1].active == "uring" or loop.decisions[-1].to == "uring"
    for pair in pairs[1:]:
        pair.transport.abort()
        pair.peer.close()
    del pairs[1:]
    busy_until("epoll")

    switches = [it for it in loop.decisions if it.verdict is aioadapt.Verdict.SWITCH]
    assert [it.to for it in switches] == ["uring", "epoll"]
    assert "6 connections, at or above the burst threshold of 4" in switches[0].reason
    pairs[0].transport.abort()
    run_iterations(loop, 3)
    pairs[0].peer.close()
    loop.close()


def test_a_request_is_recorded_and_starts_the_cooldown(
    loop: aioadapt.AdaptiveEventLoop,
) -> None:
    loop.prefer("uring")
    run_iterations(loop, 2)

    newest = loop.decisions[-1]
    assert (newest.verdict, newest.to) == (aioadapt.Verdict.ASKED, "uring")
    assert newest.reason == "loop.prefer() was called"


def test_an_idle_loop_is_not_woken_to_look(loop: aioadapt.AdaptiveEventLoop) -> None:
    loop._look_every(0.001)
    before = loop.stats().iterations
    loop.run_until_complete(asyncio.sleep(0.1))

    assert loop.stats().iterations - before < 10


def test_a_pinned_loop_stays_where_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    or_skip("uring")
    monkeypatch.setenv("AIOADAPT_START", "uring")
    loop = aioadapt.AdaptiveEventLoop(start="epoll")

    assert (loop.engine, loop.start.pinned) == ("uring", True)
    loop.close()


# -- TLS, over a loop that swaps in every iteration -------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("secure", [False, True])
def test_random_streams_arrive_exactly_under_constant_swapping(
    seed: int,
    secure: bool,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    dice = random.Random(seed)
    loop: Any = factory_of(or_skip("swapping"))()
    assert isinstance(loop, SwappingEventLoop)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(dice.choice([1, 100, 70_000])):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def ask(address: Any) -> bool:
        reader, writer = await asyncio.open_connection(
            *address,
            ssl=client_context if secure else None,
            server_hostname="localhost" if secure else None,
        )
        sent = dice.randbytes(dice.choice([1000, 100_000, 500_000]))

        async def send() -> None:
            at = 0
            while at < len(sent):
                size = dice.choice([1, 500, 20_000, 200_000])
                writer.write(sent[at : at + size])
                at += size
                await writer.drain()

        sending = asyncio.create_task(send())
        got = await reader.readexactly(len(sent))
        await sending
        writer.close()
        await writer.wait_closed()
        return got == sent

    async def main() -> list[bool]:
        server = await asyncio.start_server(
            echo,
            "localhost",
            0,
            family=socket.AF_INET,
            ssl=server_context if secure else None,
        )
        async with server, asyncio.timeout(WITHIN_S):
            address = server.sockets[0].getsockname()
            return await asyncio.gather(*[ask(address) for _ in range(6)])

    assert all(loop.run_until_complete(main()))
    assert loop.stats().swaps > 20
    loop.close()

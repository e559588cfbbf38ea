"""Buffered bytes are all sent once, in order, and as soon as possible."""

import random
import socket
import time
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leftovers import busy_with_nothing
from loops import LoopFactory

from .conftest import ENDS_WITHIN_S, KeepsOpen, Recorder, Scene

pytestmark = pytest.mark.ours_only

PATTERN = array("I", range(100_000)).tobytes()


def connected(loop: Any, protocol: Recorder) -> socket.socket:
    """Returns the protocol's peer; the sockets have very small buffers."""
    ours, peer = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    peer.setblocking(False)
    loop.run_until_complete(loop.create_connection(lambda: protocol, sock=ours))
    return peer


def read_some(peer: socket.socket, size: int) -> bytes:
    try:
        return peer.recv(size)
    except BlockingIOError:
        return b""


WRITES = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 300)),
        st.tuples(st.just("write"), st.integers(1, 30_000)),
        st.tuples(st.just("read"), st.integers(1, 10_000)),
        st.tuples(st.just("iteration"), st.just(0)),
        st.tuples(st.just("limits"), st.sampled_from([0, 1000, 65536])),
    ),
    max_size=40,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=WRITES, ends=st.sampled_from(["close", "write_eof"]))
def test_what_was_written_arrives_whole_whatever_fits_at_a_time(
    loop_factory: LoopFactory, steps: list[tuple[str, int]], ends: str
) -> None:
    """Partial sends may end inside a chunk, between two, or after several."""
    loop = loop_factory()
    scene = Scene(loop)
    protocol = KeepsOpen()
    peer = connected(loop, protocol)
    transport = protocol.transport
    written, got = bytearray(), bytearray()
    for what, size in steps:
        if what == "write":
            start = len(written)
            transport.write(PATTERN[start : start + size])
            written += PATTERN[start : start + size]
        elif what == "read":
            got += read_some(peer, size)
        elif what == "limits":
            transport.set_write_buffer_limits(high=size)
        else:
            scene.run_iterations()
        assert transport.get_write_buffer_size() <= len(written)
    getattr(transport, ends)()
    peer.settimeout(0)

    def finished() -> bool:
        try:
            more = peer.recv(1 << 16)
        except BlockingIOError:
            return False
        got.extend(more)
        return not more

    scene.until(finished)
    if ends == "write_eof":
        transport.abort()
    scene.until(lambda: "lost" in protocol.calls)
    peer.close()
    loop.close()

    assert got == written


def test_more_chunks_than_leave_in_one_call_arrive_in_order(scene: Scene) -> None:
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)
    chunks = [b"%d;" % number for number in range(1000)]
    for chunk in chunks:
        protocol.transport.write(chunk)
    scene.run_iterations(20)

    assert peer.recv(1 << 20, socket.MSG_WAITALL | socket.MSG_PEEK)[:1] == b"0"
    got = b""
    while len(got) < len(b"".join(chunks)):
        got += peer.recv(1 << 20)
    assert got == b"".join(chunks)


def test_what_is_written_in_one_callback_leaves_in_one_segment(scene: Scene) -> None:
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)

    def answer() -> None:
        protocol.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
        protocol.transport.writelines([b"body", b" and ", b"more"])

    before = scene.loop.stats().sends
    scene.loop.call_soon(answer)
    scene.run_iterations()

    assert scene.loop.stats().sends == before + 1

    assert peer.recv(1 << 16) == b"HTTP/1.1 200 OK\r\n\r\nbody and more"


def look(transport: Any, how: str) -> None:
    if how in ("is_closing", "get_write_buffer_size", "write_eof", "close", "abort"):
        getattr(transport, how)()
    else:
        transport.get_extra_info("socket").getsockname()


@pytest.mark.parametrize(
    "how",
    ["is_closing", "get_write_buffer_size", "socket", "write_eof", "close", "abort"],
)
def test_whoever_looks_finds_what_was_written_sent(scene: Scene, how: str) -> None:
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)
    peer.setblocking(False)
    protocol.transport.get_extra_info("socket")
    seen: list[bytes] = []

    def write() -> None:
        protocol.transport.write(b"not yet")
        seen.append(read_some(peer, 100))
        look(protocol.transport, how)
        seen.append(read_some(peer, 100))

    scene.loop.call_soon(write)
    scene.run_iterations()

    assert seen == [b"", b"not yet"]


def test_what_is_written_while_the_loop_does_not_run_leaves_at_once(
    scene: Scene,
) -> None:
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)

    protocol.transport.write(b"now")

    assert peer.recv(100) == b"now"


def spin(seconds: float) -> None:
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        pass


@pytest.mark.parametrize("work", [time.sleep, spin])
def test_a_callback_that_works_on_delays_its_own_bytes_twice(
    scene: Scene, work: Callable[[float], None]
) -> None:
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)
    peer.setblocking(False)
    sent_in_time: list[bytes] = []

    def write_and_work() -> None:
        protocol.transport.write(b"x")
        work(0.003)
        sent_in_time.append(read_some(peer, 100))

    for _ in range(3):
        scene.loop.call_soon(write_and_work)
        scene.run_iterations()
        read_some(peer, 100)

    assert sent_in_time == [b"", b"", b"x"]


def test_who_writes_after_others_have_worked_for_long_still_gathers(
    scene: Scene,
) -> None:
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    scene.accept(server)

    def write_twice() -> None:
        protocol.transport.write(b"head")
        protocol.transport.write(b"body")

    before = scene.loop.stats().sends
    for _ in range(4):
        scene.loop.call_soon(time.sleep, 0.003)
        scene.loop.call_soon(write_twice)
        scene.run_iterations()

    assert scene.loop.stats().sends == before + 4


def test_past_the_high_water_mark_bytes_leave_at_once(scene: Scene) -> None:
    """Large writes are not buffered twice."""
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)
    peer.setblocking(False)
    seen: list[bytes] = []

    def write() -> None:
        for data in (b"x" * 65536, b"y"):
            protocol.transport.write(data)
            seen.append(read_some(peer, 10))

    scene.loop.call_soon(write)
    scene.run_iterations()

    assert seen == [b"", b"x" * 10]


@pytest.mark.parametrize("writers", [1, 7, 8, 40])
def test_many_writers_in_one_iteration_each_reach_their_own_peer(
    scene: Scene, writers: int
) -> None:
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server = scene.serve(factory)
    peers = [scene.accept(server)[0] for _ in range(writers)]
    for round_ in range(5):
        for number, protocol in enumerate(protocols):
            protocol.transport.write(b"%d to " % round_)
            protocol.transport.write(b"%d;" % number)
        scene.run_iterations(3)
    for number, peer in enumerate(peers):
        expected = b"".join(b"%d to %d;" % (round_, number) for round_ in range(5))
        assert peer.recv(len(expected), socket.MSG_WAITALL) == expected


def test_a_buffer_that_is_changed_after_write_is_sent_as_it_was(scene: Scene) -> None:
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)
    buffer = bytearray(b"as it was")
    protocol.transport.write(buffer)
    protocol.transport.write(memoryview(buffer)[:2])
    buffer[:] = b"changed!!"
    scene.run_iterations()

    assert peer.recv(100) == b"as it wasas"


def test_a_peer_that_reads_slowly_gets_a_long_answer_whole(scene: Scene) -> None:
    """Reads of random sizes against a writer that never waits."""
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)
    at_random = random.Random(7)
    data = PATTERN * 25  # more than the sockets' buffers hold
    sent = 0
    while sent < len(data):
        size = at_random.choice([1, 100, 5000, 200_000])
        protocol.transport.write(data[sent : sent + size])
        sent += size
    protocol.transport.close()
    peer.setblocking(False)
    got = bytearray()

    def finished() -> bool:
        while more := read_some(peer, at_random.randint(1, 60_000)):
            got.extend(more)
        return len(got) == len(data)

    scene.until(finished)
    assert got == data
    scene.until(lambda: protocol.calls == ["made", "lost"])


def test_a_reset_while_bytes_wait_ends_the_connection_with_its_error(
    scene: Scene,
) -> None:
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)
    protocol.transport.pause_reading()
    protocol.transport.write(b"x" * 10_000_000)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()

    scene.until(lambda: "lost" in protocol.calls)

    assert isinstance(protocol.exception, ConnectionError)


def test_aborting_while_the_kernel_sends_frees_what_it_was_sending_later(
    scene: Scene,
) -> None:
    """connection_lost waits for the kernel; the descriptor stays open until then."""
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    peer, stream = scene.accept(server)
    protocol.transport.write(b"x" * 20_000_000)
    scene.run_iterations()
    assert protocol.transport.get_write_buffer_size() > 0

    protocol.transport.abort()
    assert "lost" not in protocol.calls
    assert protocol.transport.get_write_buffer_size() == 0
    scene.until(lambda: "lost" in protocol.calls)

    assert stream.closed
    assert protocol.exception is None
    assert peer.recv(1) == b"x"


def test_writing_nothing_sends_nothing(scene: Scene) -> None:
    protocol = Recorder()
    server = scene.serve(lambda: protocol)
    scene.accept(server)
    before = scene.loop.stats()
    for nothing in (b"", bytearray(), memoryview(b"")):
        protocol.transport.write(nothing)
    scene.run_iterations()

    after = scene.loop.stats()
    assert after.sends == before.sends


def test_a_loop_comes_to_rest_when_all_that_waited_has_been_sent(scene: Scene) -> None:
    protocol = Recorder()
    peer = connected(scene.loop, protocol)
    protocol.transport.write(PATTERN)
    got = bytearray()

    def arrived() -> bool:
        got.extend(read_some(peer, 1 << 20))
        return len(got) == len(PATTERN)

    scene.until(arrived)
    assert busy_with_nothing(scene.loop) == []
    peer.close()


def test_what_an_aborted_stream_has_sent_is_counted(scene: Scene) -> None:
    data = bytes(bytearray(PATTERN))
    protocol = Recorder()
    peer = connected(scene.loop, protocol)
    sent_before = scene.loop.stats().bytes_out

    scene.loop.call_soon(protocol.transport.write, data)
    scene.run_iterations(3)
    scene.loop.call_soon(protocol.transport.abort)
    scene.until(lambda: "lost" in protocol.calls)

    got = b""
    while more := read_some(peer, 1 << 20):
        got += more
    assert data.startswith(got)
    assert scene.loop.stats().bytes_out - sent_before == len(got)
    peer.close()


class InterruptedInResume(Recorder):
    interrupts = 1

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt


@pytest.mark.parametrize("low", [0, 1 << 20])
def test_an_interrupt_in_resume_writing_leaves_nothing_behind(
    scene: Scene, low: int
) -> None:
    protocol = InterruptedInResume()
    server = scene.serve(lambda: protocol)
    peer, _ = scene.accept(server)
    peer.setblocking(False)
    data = random.Random(1).randbytes(16 << 20)
    protocol.transport.set_write_buffer_limits(high=2 << 20, low=low)
    protocol.transport.write(data)
    protocol.transport.close()
    received = bytearray()

    def read_until_lost() -> None:
        ends = time.monotonic() + ENDS_WITHIN_S
        while "lost" not in protocol.calls and time.monotonic() < ends:
            received.extend(read_some(peer, 1 << 20))
            scene.run_iterations()

    with pytest.raises(KeyboardInterrupt):
        read_until_lost()
    read_until_lost()
    while rest := read_some(peer, 1 << 20):
        received += rest

    assert received == data
    assert protocol.calls == ["made", "pause", "resume", "lost"]

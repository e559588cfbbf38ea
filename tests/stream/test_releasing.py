"""Releasing a connection: when it is quiet, with all its bytes, and only once."""

import asyncio
import os
import socket
from typing import Any

import pytest
from loops import OURS, Missing, factory_of

from aioadapt import LoopStoppedError
from aioadapt._testing.inside import is_releasing

from .conftest import ENDS_WITHIN_S, Scene
from .http1 import NEXT, REQUEST, Handler, Http1Protocol, answer_to
from .place import Place, place

__all__ = ["place"]

pytestmark = pytest.mark.ours_only


def test_a_quiet_connection_stops_settles_and_is_released(place: Place) -> None:
    place.ask()
    fd = place.stream.fd

    place.release()
    released = place.finish()

    assert place.handler.calls == ["may_release", "stopped_reading", "released"]
    assert (released.fd, released.unread, released.requests) == (fd, b"", 1)
    assert released.peername == place.peer.getsockname()
    assert released.sockname == place.peer.getpeername()
    assert (released.family, released.type) == (socket.AF_INET, socket.SOCK_STREAM)
    assert place.scene.loop.streams() == []
    assert place.scene.loop.stats().moves_out == 1


def test_the_old_protocol_is_told_and_its_transport_is_a_tombstone(
    place: Place,
) -> None:
    place.ask()
    place.release()
    released = place.finish()
    place.scene.run_iterations()
    transport = place.protocol.transport

    assert place.protocol.calls == ["made", "lost"]
    assert place.protocol.exception is None
    transport.close()
    transport.abort()
    place.scene.run_iterations(2)
    os.fstat(released.fd)
    assert transport.is_closing()
    with pytest.raises(RuntimeError, match="moved to another loop"):
        transport.write(b"x")
    assert place.stream.fd == -1
    assert "moved" in repr(transport)
    assert transport.get_extra_info("socket").fileno() == -1


def test_a_descriptor_that_had_a_socket_object_is_released_open(place: Place) -> None:
    """A socket object that was asked for gives up the descriptor without closing it."""
    place.ask()
    assert place.protocol.transport.get_extra_info("socket").fileno() == place.stream.fd
    place.release()
    released = place.finish()

    os.fstat(released.fd)
    assert place.peer.send(b"x") == 1
    assert os.read(released.fd, 10) == b"x"


CUTS = [1, 10, len(NEXT) - 4, len(NEXT) - 1, len(NEXT), len(NEXT) + 7]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "when", ["before leave", "may_release", "stopped_reading", "released", "adopted"]
)
def test_bytes_of_the_next_request_are_with_exactly_one_server(
    place: Place, when: str, cut: int
) -> None:
    """Whatever arrives when: either the old protocol gets it and stays, or the new
    one gets all of it."""
    place.ask()
    words = (NEXT + REQUEST)[:cut]
    rest = (NEXT + REQUEST)[cut:]

    def send() -> None:
        place.peer.sendall(words)

    if when == "before leave":
        send()
    elif when != "adopted":
        place.handler.on_call[when] = send
    place.scene.loop.call_soon(place.stream.release, place.handler)
    place.scene.run_iterations(4)
    if place.handler.released_ is None:
        # Not quiet: it is released as soon as it is quiet.
        assert when in ("before leave", "may_release")
        assert "released" not in place.handler.calls
        if rest:
            place.peer.sendall(rest)
            rest = b""
        place.finish()
    moved = place.come_back()
    if when == "adopted":
        send()
    if rest:
        place.peer.sendall(rest)

    place.hear(b"/two", b"/one")
    first, second = place.protocols
    assert first.answered + second.answered == [b"/one", b"/two", b"/one"]
    assert first.unparsed == b""
    assert bytes(first.received + second.received) == REQUEST + NEXT + REQUEST
    assert (moved.requests, moved.id) == (3, place.stream.id)


@pytest.mark.parametrize("cut", CUTS)
def test_bytes_that_the_kernel_has_taken_are_carried_unread(
    place: Place, cut: int
) -> None:
    """Their completion is on the ring when the receive is cancelled.  With epoll
    nothing has been received, and they are still in the socket."""
    place.ask()
    words = (NEXT + REQUEST)[:cut]

    def send() -> None:
        place.peer.sendall(words)
        place.scene.loop.submit_reads()

    place.handler.on_call["may_release"] = send
    place.release()
    released = place.finish()
    if place.scene.loop.engine == "uring":
        assert released.unread == words
    place.come_back()
    place.peer.sendall((NEXT + REQUEST)[cut:])

    place.hear(b"/two", b"/one")
    assert place.protocols[0].received == REQUEST
    assert place.protocols[1].received == NEXT + REQUEST


def test_of_several_packets_that_arrive_while_it_settles_all_are_carried(
    place: Place,
) -> None:
    place.ask()

    def send() -> None:
        for word in (NEXT[:5], NEXT[5:9], NEXT[9:]):
            place.peer.sendall(word)
            # With io_uring each is a completion of its own.
            place.scene.loop.submit_reads()

    place.handler.on_call["may_release"] = send
    place.release()
    released = place.finish()
    if place.scene.loop.engine == "uring":
        assert released.unread == NEXT
    place.come_back()

    place.hear(b"/two")
    assert place.protocols[1].received == NEXT


@pytest.mark.parametrize("how", ["reset", "close", "half-close", "words and close"])
@pytest.mark.parametrize(
    "when", ["before leave", "may_release", "stopped_reading", "released", "adopted"]
)
def test_a_peer_that_goes_is_noticed_once_wherever_its_connection_is(
    place: Place, when: str, how: str
) -> None:
    place.ask()

    def go() -> None:
        if how == "half-close":
            place.peer.shutdown(socket.SHUT_WR)
            return
        if how == "words and close":
            place.peer.sendall(NEXT)
        if how == "reset":
            place.peer.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
        place.peer.close()

    if when == "before leave":
        go()
    elif when != "adopted":
        place.handler.on_call[when] = go
    place.scene.loop.call_soon(place.stream.release, place.handler)
    place.scene.until(lambda: place.handler.is_over)

    if place.handler.released_ is not None:
        place.come_back()
        if when == "adopted":
            go()
    last = place.protocols[-1]
    place.scene.until(lambda: "lost" in last.calls)
    place.scene.run_iterations(2)
    assert [protocol.calls.count("lost") for protocol in place.protocols] == [1] * len(
        place.protocols
    )
    assert (
        place.handler.calls.count("closed") + place.handler.calls.count("released") == 1
    )
    answered = [target for protocol in place.protocols for target in protocol.answered]
    assert answered == [b"/one", b"/two"][: 1 + (how == "words and close")]
    if how != "words and close":  # the answer to them may cause a reset
        assert isinstance(last.exception, ConnectionError) == (how == "reset")
    assert place.scene.loop.streams() == []


def test_a_request_in_the_air_is_answered_here_and_then_it_goes(place: Place) -> None:
    place.protocol.answers_later = True
    place.peer.sendall(REQUEST)
    place.scene.until(lambda: place.protocol.received)
    place.release()
    place.hear(b"/one")
    released = place.finish()

    assert released.requests == 1
    assert place.handler.calls == ["may_release", "stopped_reading", "released"]


def test_a_server_that_writes_while_its_connection_settles_makes_it_active(
    place: Place,
) -> None:
    """It writes again, one callback after its answer: the connection is served
    again, and that write arrives."""
    place.ask()

    def speak() -> None:
        place.scene.loop.call_soon(
            place.protocol.transport.write, b"HTTP/1.1 408 Late\r\n\r\n"
        )

    place.handler.on_call["stopped_reading"] = speak
    place.release()
    place.scene.run_iterations(5)

    assert place.handler.calls[:3] == [
        "may_release",
        "stopped_reading",
        "became_active",
    ]
    assert "released" not in place.handler.calls
    assert place.peer.recv(100).startswith(b"HTTP/1.1 408")
    place.stream.cancel_release()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupt_while_a_connection_settles_does_not_leave_it_unread(
    place: Place,
) -> None:
    """With nothing else to do the loop must not sleep, as nothing would wake it."""
    place.ask()
    loop, handler = place.scene.loop, place.handler
    handler.on_call["stopped_reading"] = lambda: loop.call_soon(interrupt)
    handler.on_call["released"] = loop.stop
    with pytest.raises(KeyboardInterrupt):
        place.release()
    slept = loop.call_later(ENDS_WITHIN_S, loop.stop)

    loop.run_forever()

    assert handler.calls[-1] == "released"
    assert loop.time() < slept.when()
    slept.cancel()


def test_an_interrupt_loses_no_release_of_the_same_iteration(place: Place) -> None:
    place.ask()
    _, stream = place.scene.accept(place.server)
    other = Handler()

    def interrupt_once() -> None:
        place.handler.on_call.clear()
        interrupt()

    place.handler.on_call["may_release"] = interrupt_once
    place.scene.loop.call_soon(stream.release, other)
    with pytest.raises(KeyboardInterrupt):
        place.release()
        place.scene.run_iterations(2)

    place.scene.until(lambda: place.handler.is_over and other.is_over)
    assert (place.handler.calls[-1], other.calls[-1]) == ("released", "released")
    other.close()


def test_a_server_that_closes_while_its_connection_settles_ends_it(
    place: Place,
) -> None:
    place.ask()
    place.handler.on_call["stopped_reading"] = lambda: place.scene.loop.call_soon(
        place.protocol.transport.close
    )
    place.release()
    place.scene.until(lambda: place.handler.is_over)

    assert place.handler.calls[-1] == "closed"
    assert place.peer.recv(1) == b""


@pytest.mark.steady_engine
def test_one_that_may_not_leave_is_asked_again_when_the_next_iteration_ends(
    place: Place,
) -> None:
    place.ask()
    answers = iter([False, False, True])
    place.handler.says = lambda: next(answers)
    place.release()
    assert place.handler.calls == ["may_release"]
    place.scene.run_iterations()
    assert place.handler.calls == ["may_release"] * 2

    released = place.finish()
    assert place.handler.calls[2:] == ["may_release", "stopped_reading", "released"]
    assert released.requests == 1


def test_one_that_may_not_leave_goes_on_being_served(place: Place) -> None:
    place.ask()
    place.handler.says = lambda: False
    place.release()
    place.ask(NEXT, b"/two")

    place.handler.says = lambda: True
    assert place.finish().requests == 2


def test_one_that_may_not_leave_does_not_keep_the_loop_awake(place: Place) -> None:
    place.ask()
    place.handler.says = lambda: False
    place.release()
    place.scene.run_iterations(3)
    before = place.scene.loop.stats().iterations

    place.scene.loop.run_until_complete(asyncio.sleep(0.05))

    assert place.scene.loop.stats().iterations - before < 10


@pytest.mark.steady_engine
def test_of_a_refused_admission_group_one_is_asked_an_iteration(place: Place) -> None:
    """Asking each of hundreds would take longer than serving some of them."""
    admission_group = object()
    full = [Handler(lambda: False, admission_group) for _ in range(3)]
    other, alone = Handler(lambda: False, object()), Handler(lambda: False)
    handlers = [*full, other, alone]
    streams = [place.scene.accept(place.server)[1] for _ in handlers]

    def release() -> None:
        for stream, handler in zip(streams, handlers, strict=True):
            stream.release(handler)

    place.scene.loop.call_soon(release)
    place.scene.run_iterations()
    assert [len(handler.calls) for handler in handlers] == [1, 0, 0, 1, 1]

    streams[0].cancel_release()
    full[1].says = full[2].says = lambda: True
    place.scene.until(lambda: full[1].is_over and full[2].is_over)
    assert [handler.is_over for handler in (full[0], other, alone)] == [False] * 3
    full[1].close()
    full[2].close()


def test_one_asked_again_while_it_ends_says_once_that_it_is_closed(
    place: Place,
) -> None:
    place.ask()
    place.handler.says = lambda: False
    place.release()

    def end_and_ask_again() -> None:
        place.protocol.transport.abort()
        place.stream.release(place.handler)

    place.scene.loop.call_soon(end_and_ask_again)
    place.scene.until(lambda: place.handler.is_over)
    place.scene.run_iterations(3)

    assert place.handler.calls == ["may_release", "closed"]


@pytest.mark.parametrize("when", ["may_release", "stopped_reading", "later"])
def test_a_cancelled_release_leaves_the_connection_served(
    place: Place, when: str
) -> None:
    place.ask()
    if when == "later":
        place.protocol.answers_later = True
        place.peer.sendall(REQUEST)
        place.scene.until(lambda: len(place.protocol.answered) == 2)
        place.stream.release(place.handler)
        place.stream.cancel_release()
        place.hear(b"/one")
    else:
        place.handler.says = lambda: when != "may_release"
        place.handler.on_call[when] = place.stream.cancel_release
        place.release()
    place.scene.run_iterations(5)

    assert "released" not in place.handler.calls
    place.ask(NEXT, b"/two")
    assert place.scene.loop.streams() == [place.stream]
    assert place.stream.release_handler is None


def test_only_one_handler_at_a_time(place: Place) -> None:
    place.protocol.answers_later = True
    place.peer.sendall(REQUEST[:5])
    place.scene.until(lambda: place.protocol.received)
    place.stream.release(place.handler)
    with pytest.raises(RuntimeError, match="is already being released"):
        place.stream.release(Handler())
    place.stream.cancel_release()
    other = Handler()
    place.stream.release(other)
    place.stream.cancel_release()

    assert place.handler.calls == other.calls == []


CROWD = 3000
"""More items of deferred work than the enters of ``finish_cancels`` run."""


def test_a_release_that_is_cancelled_while_the_kernel_detaches_is_cancelled(
    scene: Scene,
) -> None:
    """The cancel of its receive is queued behind the bytes of many others, so the
    driver is still detaching when the iteration ends."""
    if scene.loop.engine == "epoll":
        pytest.skip("epoll detaches in one call")
    scene.loop.watch_http1 = True
    server = scene.serve(Http1Protocol, backlog=CROWD)
    peer, stream = scene.accept(server)
    peer.sendall(REQUEST)
    scene.until(lambda: stream.requests == 1)
    crowd = [scene.connect(server) for _ in range(CROWD)]
    scene.until(lambda: len(scene.loop.streams()) == 1 + CROWD)
    handler = Handler()

    def all_speak() -> None:
        for other in crowd:
            other.send(b"G")

    handler.on_call["stopped_reading"] = all_speak

    async def release_and_cancel() -> None:
        scene.loop.call_soon(stream.release, handler)
        for _ in range(4):  # it settles first
            await asyncio.sleep(0)
            if is_releasing(stream):
                break
        else:
            pytest.fail("the kernel runs more at once: a larger crowd is needed")
        stream.cancel_release()

    scene.loop.run_until_complete(release_and_cancel())
    scene.run_iterations(5)

    assert handler.calls == ["may_release", "stopped_reading"]
    assert peer.recv(1000) == answer_to(b"/one")
    peer.sendall(NEXT)
    scene.until(lambda: stream.requests == 2)


def test_a_connection_that_has_ended_says_so_at_once(place: Place) -> None:
    place.protocol.transport.abort()
    place.stream.release(place.handler)

    assert place.handler.calls == ["closed"]


def test_a_paused_connection_is_not_quiet(place: Place) -> None:
    place.ask()
    place.protocol.transport.pause_reading()
    place.release()
    place.scene.run_iterations(3)
    assert place.handler.calls == []
    assert place.stream.why_not_quiet == "reading is paused"

    place.protocol.transport.resume_reading()
    place.finish()


# -- Adopting.


def other_loop(loop_kind: str) -> Any:
    """A loop of the other engine, if that is available here."""
    kinds = [kind for kind in OURS if kind != loop_kind]
    try:
        return factory_of(kinds[0])()
    except Missing:
        return factory_of(loop_kind)()


def test_a_loop_of_the_other_engine_adopts_with_the_unread_bytes_first(
    place: Place, loop_kind: str
) -> None:
    place.ask()
    place.handler.on_call["stopped_reading"] = lambda: place.peer.sendall(NEXT[:9])
    place.release()
    released = place.finish()
    target = Scene(other_loop(loop_kind))
    protocols: list[Http1Protocol] = []

    def factory() -> Http1Protocol:
        protocols.append(Http1Protocol())
        return protocols[-1]

    server = target.serve(factory)
    stream = target.loop.adopt(released, factory, server)
    place.handler.released_ = None
    place.peer.sendall(NEXT[9:])
    target.until(lambda: protocols and protocols[0].answered == [b"/two"])

    assert protocols[0].received == NEXT
    assert stream.id == place.stream.id
    assert stream.requests == 2
    assert target.loop.stats().moves_in == 1
    target.run_iterations(2)
    assert place.peer.recv(1000) == answer_to(b"/two")
    target.close()


@pytest.mark.parametrize("fails", ["factory", "server"])
def test_a_refused_descriptor_is_still_the_callers(place: Place, fails: str) -> None:
    """It stays open, and this loop or another can adopt it."""
    place.ask()
    place.release()
    released = place.finish()

    def refuse() -> Http1Protocol:
        raise LookupError("no room")

    if fails == "factory":
        with pytest.raises(LookupError, match="no room"):
            place.scene.loop.adopt(released, refuse, place.server)
    else:
        gone = place.scene.serve(Http1Protocol)
        gone.close()
        with pytest.raises(AssertionError):
            place.scene.loop.adopt(released, Http1Protocol, gone)
    os.fstat(released.fd)
    place.scene.run_iterations()
    os.fstat(released.fd)

    place.come_back()
    place.ask(NEXT, b"/two")
    assert place.protocols[-1].answered == [b"/two"]


def test_a_closed_loop_adopts_nothing(place: Place, loop_kind: str) -> None:
    place.ask()
    place.release()
    released = place.finish()
    closed = other_loop(loop_kind)
    closed.close()

    with pytest.raises(LoopStoppedError):
        closed.adopt(released, Http1Protocol, place.server)
    os.fstat(released.fd)


def test_an_adopted_server_that_pauses_at_once_gets_the_unread_bytes_later(
    place: Place,
) -> None:
    class PausesAtOnce(Http1Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()

    place.ask()
    place.handler.on_call["stopped_reading"] = lambda: place.peer.sendall(NEXT)
    place.release()
    released = place.finish()
    protocol = PausesAtOnce()
    place.scene.loop.adopt(released, lambda: protocol, place.server)
    place.handler.released_ = None
    place.scene.run_iterations(3)
    assert protocol.received == b""
    place.peer.sendall(REQUEST)
    place.scene.run_iterations(3)

    protocol.transport.resume_reading()
    place.hear(b"/two", b"/one")
    assert protocol.received == NEXT + REQUEST


def test_a_loop_that_has_not_run_yet_serves_what_it_adopted_when_it_runs(
    place: Place,
) -> None:
    place.ask()
    place.release()
    released = place.finish()
    other = Scene(type(place.scene.loop)())
    other.loop.adopt(released, place.new_protocol, place.server)
    place.handler.released_ = None

    place.peer.sendall(REQUEST)
    other.until(lambda: place.protocols[1].answered)

    assert place.peer.recv(100) == answer_to(b"/one")
    other.close()

"""What comes first: scheduled callbacks, kernel events, timers, or stopping."""

import asyncio
import os
import socket
import threading
from asyncio import AbstractEventLoop

import pytest
from loops import Reported, Run, run_iterations

from .peers import connected
from .protocols import Recorder
from .test_flow_control import fill


def test_a_call_from_this_thread_keeps_its_place_among_the_others(
    loop: AbstractEventLoop,
) -> None:
    """Some libraries use ``call_soon_threadsafe`` even on the loop's own thread."""
    ran: list[int] = []
    for number in range(0, 6, 2):
        loop.call_soon_threadsafe(ran.append, number)
        loop.call_soon(ran.append, number + 1)

    run_iterations(loop)

    assert ran == [0, 1, 2, 3, 4, 5]


def test_a_call_from_another_thread_comes_before_a_later_one_of_this(
    loop: AbstractEventLoop,
) -> None:
    ran: list[str] = []
    thread = threading.Thread(
        target=loop.call_soon_threadsafe, args=(ran.append, "other thread")
    )
    thread.start()
    thread.join()
    loop.call_soon(ran.append, "this thread")

    run_iterations(loop)

    assert ran == ["other thread", "this thread"]


@pytest.mark.parametrize("debug", [False, True])
def test_what_was_ready_runs_before_what_the_kernel_reports(
    loop: AbstractEventLoop, run: Run, debug: bool
) -> None:
    """A callback from the last iteration may prepare for the next bytes."""
    loop.set_debug(debug)
    ran: list[str] = []

    class Told(Recorder):
        def data_received(self, data: bytes) -> None:
            ran.append("bytes")
            super().data_received(data)

    async def main() -> None:
        async with connected(Told) as (protocol, peer):
            before = loop.create_future()

            def first() -> None:
                # Both the bytes and the callback are ready when the kernel is polled.
                peer.send(b"x")
                loop.call_soon(ran.append, "callback")
                before.set_result(None)

            loop.call_soon(first)
            await before
            await protocol.got(1)

    run(main())
    assert ran == ["callback", "bytes"]


async def test_who_waits_for_a_connection_has_it_before_its_first_bytes(
    loop: AbstractEventLoop,
) -> None:
    got: list[asyncio.Transport | None] = []

    transport: asyncio.Transport | None = None

    class Early(Recorder):
        def data_received(self, data: bytes) -> None:
            got.append(transport)
            super().data_received(data)

    ours, theirs = socket.socketpair()
    theirs.send(b"there before the connection is")
    with theirs:
        transport, protocol = await loop.create_connection(Early, sock=ours)
        await protocol.got(1)
        transport.close()
        await protocol.lost()
        assert got == [transport]


@pytest.mark.steady_engine
def test_a_due_timer_runs_after_bytes_that_are_there(
    loop: AbstractEventLoop, run: Run
) -> None:
    """A delayed loop must not time out a peer that answered in time."""
    ran: list[str] = []

    class Told(Recorder):
        def data_received(self, data: bytes) -> None:
            ran.append("bytes")
            super().data_received(data)

    async def main() -> None:
        async with connected(Told) as (protocol, peer):
            fired = loop.create_future()

            def timer() -> None:
                ran.append("timer")
                fired.set_result(None)

            def hold_up() -> None:
                loop.call_at(loop.time(), timer)
                peer.send(b"x")

            loop.call_soon(hold_up)
            await fired
            await protocol.got(1)

    run(main())
    assert ran == ["bytes", "timer"]


def test_a_timer_that_sets_itself_anew_in_the_past_does_not_hold_up_the_loop(
    loop: AbstractEventLoop,
) -> None:
    ran: list[int] = []

    timers = []

    def again() -> None:
        ran.append(len(ran))
        timers.append(loop.call_later(-1, again))

    again()
    run_iterations(loop)

    assert ran == [0, 1]
    timers[-1].cancel()


def test_what_a_due_timer_makes_ready_waits_where_the_loop_stops(
    loop: AbstractEventLoop,
) -> None:
    ran: list[str] = []

    def timer() -> None:
        loop.call_soon(ran.append, "made ready")
        loop.stop()

    loop.call_later(0, timer)
    loop.run_forever()
    assert ran == []
    run_iterations(loop)
    assert ran == ["made ready"]


def test_a_connection_closed_by_the_last_step_of_a_task_is_closed_when_run_ends(
    loop: AbstractEventLoop,
) -> None:
    """The peer must not wait for the loop to run again."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    protocol = Recorder()

    async def close() -> None:
        transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
        # Until the loop is reading from it, so that closing has to cancel the read.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        transport.close()

    with theirs:
        loop.run_until_complete(close())
        assert protocol.is_lost
        assert theirs.recv(1) == b""


def test_a_connection_aborted_by_what_it_hears_last_is_closed_when_the_run_ends(
    loop: AbstractEventLoop,
) -> None:
    class Aborts(Recorder):
        def data_received(self, data: bytes) -> None:
            loop.call_soon(loop.stop)
            self.transport.abort()

    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    protocol = Aborts()
    loop.run_until_complete(loop.create_connection(lambda: protocol, sock=ours))
    run_iterations(loop, 2)

    with theirs:
        theirs.send(b"x")
        loop.run_forever()
        assert protocol.is_lost
        assert theirs.recv(1) == b""


async def test_a_protocol_that_is_resumed_while_it_closes_may_still_write(
    loop: AbstractEventLoop,
) -> None:
    """TLS closes like this: after close() the last record still waits for room."""

    class LastWords(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            self.transport.write(b"last words")

    async with connected(LastWords) as (protocol, peer):
        data = fill(protocol.transport, protocol)
        protocol.transport.close()
        assert await peer.recv_to_end() == data + b"last words"
        assert await protocol.lost() is None


def test_a_connection_that_cannot_be_watched_is_made_and_reported(
    loop: AbstractEventLoop, run: Run, reported: Reported
) -> None:
    """epoll limits the number of watches; the connecting task must not wait forever."""

    class Unwatchable(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            fd = transport.get_extra_info("socket").fileno()
            with open(__file__) as regular:
                os.dup2(regular.fileno(), fd)

    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, protocol = await loop.create_connection(Unwatchable, sock=ours)
            transport.abort()
            await protocol.lost()

    run(main())
    # io_uring notices only when it reads, and then the connection is lost.
    for context in reported:
        assert isinstance(context["exception"], PermissionError)
    reported.clear()

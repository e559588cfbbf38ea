"""The order within one iteration: asyncio's, which is not documented.

Callbacks scheduled earlier run first, then what the kernel reports, then due
timers; whatever any of them schedules runs after all of them.  Programs rely on
this unknowingly.  aiohttp's WebSockets do: of two tasks that close and one that
receives, all scheduled when the peer's answer arrives, those that close win.
"""

import asyncio
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable

import pytest
from loops import Run

from .peers import Wire, a_round_trip_elsewhere, connected
from .protocols import Recorder


class InOrder(list[str]):
    """What happened, each followed one callback later by an ``after`` entry."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.all_there: asyncio.Future[None] = loop.create_future()

    def happened(self, what: str) -> None:
        self.append(what)
        self.loop.call_soon(self.note, f"after the {what}")

    def note(self, what: str) -> None:
        self.append(what)
        if len(self) == 6:
            self.all_there.set_result(None)


EXPECTED = ["callback", "bytes", "timer"]
EXPECTED += [f"after the {what}" for what in EXPECTED]


def test_callbacks_then_bytes_then_timers(
    loop: AbstractEventLoop, run: Run, wire: Wire
) -> None:
    order = InOrder(loop)

    class Noting(Recorder):
        def data_received(self, data: bytes) -> None:
            order.happened("bytes")

    async def main() -> None:
        async with connected(Noting, wire) as (_, peer):
            await a_round_trip_elsewhere()
            await everything_at_once(loop, order, lambda: peer.send(b"x"))

    run(main())
    assert order == EXPECTED


def test_callbacks_then_readers_then_timers(loop: AbstractEventLoop, run: Run) -> None:
    order = InOrder(loop)

    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:

            def readable() -> None:
                loop.remove_reader(ours)
                order.happened("bytes")

            loop.add_reader(ours, readable)
            await a_round_trip_elsewhere()
            await everything_at_once(loop, order, lambda: theirs.send(b"x"))

    run(main())
    assert order == EXPECTED


async def everything_at_once(
    loop: AbstractEventLoop, order: InOrder, send: Callable[[], object]
) -> None:
    """Over loopback, data has arrived when send returns."""
    send()
    loop.call_later(0, order.happened, "timer")
    loop.call_soon(order.happened, "callback")
    await order.all_there


@pytest.mark.parametrize("where", ["callback", "bytes"])
def test_what_is_added_after_stop_waits_for_the_next_run(
    loop: AbstractEventLoop, where: str
) -> None:
    ours, theirs = socket.socketpair()
    called: list[str] = []

    def stop() -> None:
        loop.remove_reader(ours)
        loop.stop()
        loop.call_soon(called.append, "late")

    with ours, theirs:
        theirs.send(b"x")
        if where == "bytes":
            loop.add_reader(ours, stop)
        else:
            loop.call_soon(stop)
        loop.run_forever()
        assert called == []
        loop.run_until_complete(asyncio.sleep(0))
        assert called == ["late"]

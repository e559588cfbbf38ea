"""A server on one loop thread, a standby thread, and a controller."""

import asyncio
import contextlib
import dataclasses
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest
from migration.callers import Caller
from migration.real import ENDS_WITHIN_S, Peer, Place, TinyHttp

import aioadapt
from aioadapt import (
    Controller,
    Decision,
    LoopStats,
    LoopThread,
    Migrator,
    Thresholds,
)
from aioadapt.control.sample import Engine

needs_uring = pytest.mark.skipif(
    not aioadapt.uring_support().available, reason=aioadapt.uring_support().reason
)

T = TypeVar("T")

# The load never causes a switch.
UNDECIDED = Thresholds(
    tick_s=0.05, up_connections=None, down_connections=0, quiet_events_per_s=1.0
)
# A handful of connections causes a switch, quickly.
EAGER = Thresholds(
    tick_s=0.05,
    up_connections=6,
    down_connections=2,
    snap_connections=1000,
    sustain_ticks=2,
    cooldown_s=0.3,
    lock_switches=100,
    quiet_events_per_s=1.0,
)


class Grounds:
    """Everything starts on *start*; the standby serves the same listening socket."""

    def __init__(
        self,
        start: Engine = "epoll",
        thresholds: Thresholds = UNDECIDED,
        *,
        standby: Callable[[Engine], Coroutine[Any, Any, LoopThread]] | None = None,
        move: bool = True,
        adapting: bool = True,
        on_decision: Callable[[Decision], None] | None = None,
        watching: bool = True,
    ) -> None:
        """
        Args:
            watching: False means that ticks start only with :meth:`watch`:
                otherwise they run while many connections are opened one by one.
        """
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = self.listener.getsockname()
        self.places: dict[Engine, Place] = {}
        self.callers: list[Caller] = []
        self.peers: list[Peer] = []
        self.migrator = Migrator()
        self.controller = Controller(
            self.make(start),
            standby=standby or self.standby,
            migrator=self.migrator,
            thresholds=thresholds,
            move=move,
            adapting=adapting,
            on_decision=on_decision,
        )
        self._watching = watching
        self._run: asyncio.Task[None] | None = None

    def make(self, engine: Engine) -> LoopThread:
        thread = LoopThread(engine, name=engine).start()
        self.places[engine] = Place(thread, self.listener)
        self.places[engine].serve()
        return thread

    async def standby(self, engine: Engine) -> LoopThread:
        return await asyncio.to_thread(self.make, engine)

    def thread(self, engine: Engine) -> LoopThread:
        return self.places[engine].thread

    def watch(self) -> None:
        self._run = asyncio.create_task(self.controller.run())

    async def __aenter__(self) -> Self:
        if self._watching:
            self.watch()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for caller in self.callers:
            await asyncio.to_thread(caller.hang_up, ENDS_WITHIN_S)
        if self._run is not None:
            self._run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._run
        for peer in [*self.peers, *(caller.peer for caller in self.callers)]:
            peer.close()
        for place in self.places.values():
            await asyncio.to_thread(place.stop)
        self.listener.close()
        assert [caller.failed for caller in self.callers] == [None] * len(self.callers)

    async def peer(self) -> Peer:
        """A client that has been answered once."""
        self.peers.append(await asyncio.to_thread(Peer, self.address))
        await self.asks(self.peers[-1])
        return self.peers[-1]

    async def asks(self, peer: Peer) -> str:
        """Send a request; return the engine that answered."""
        return await asyncio.to_thread(peer.ask)

    async def call(self, count: int) -> list[Caller]:
        """Start *count* clients that always have a request in flight."""
        new = [
            Caller(await asyncio.to_thread(Peer, self.address)) for _ in range(count)
        ]
        self.callers += new
        for caller in new:
            caller.start()
        await until(lambda: all(caller.answered_by for caller in new))
        return new

    def on(self, engine: Engine) -> int:
        """How many connections that engine has."""
        return len(self.thread(engine).connections) if engine in self.places else 0

    def storms(self, engine: Engine, **per_tick: int) -> Callable[[], None]:
        """From now on its counters grow by *per_tick*.

        Returns:
            A function that ends the storm.
        """
        loop: Any = self.thread(engine).loop
        began_at, real = time.monotonic(), loop.stats
        over: list[float] = []

        def stats() -> LoopStats:
            ticks = ((over or [time.monotonic()])[0] - began_at) / 0.05
            true: LoopStats = real()
            return dataclasses.replace(
                true,
                **{
                    name: getattr(true, name) + int(count * ticks)
                    for name, count in per_tick.items()
                },
            )

        loop.stats = stats
        return lambda: over.append(time.monotonic())


@contextlib.contextmanager
def also_serving(thread: LoopThread, sock: socket.socket) -> Iterator[None]:
    """Run one more server on that thread."""

    async def serve() -> asyncio.Server:
        return await thread.loop.create_server(TinyHttp, sock=sock.dup())

    async def close() -> None:
        server.close()

    server = thread.submit(serve()).result(ENDS_WITHIN_S)
    try:
        yield
    finally:
        thread.submit(close()).result(ENDS_WITHIN_S)


async def until(happened: Callable[[], Any], within_s: float = ENDS_WITHIN_S) -> None:
    async with asyncio.timeout(within_s):
        while not happened():
            await asyncio.sleep(0.005)


def run(main: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(2 * ENDS_WITHIN_S):
            return await main

    return asyncio.run(bounded())

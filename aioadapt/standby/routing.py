"""Routing: which of several loop threads accepts new connections.

Their servers share one listening socket, each through its own duplicate, so a
connection that one of them does not accept waits in the shared queue for the
other.  The new thread starts accepting before the old one stops: for a moment
both accept, and no connection has to wait.  Connections that the old thread
accepts in that moment are served there like its others.

Only listeners on addresses that both threads serve are touched.  A listener that
an application opened on one loop alone keeps accepting there.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from aioadapt.errors import AioadaptError, LoopStoppedError
from aioadapt.loop_thread import LoopThread


class NoServerError(AioadaptError):
    """The thread that should accept has no server on the addresses of the others."""


async def route(to: LoopThread, *, away_from: Iterable[LoopThread]) -> None:
    """Make *to* accept new connections, then stop the others from accepting.

    May be awaited on any running loop; returns when all threads have done so.

    Raises:
        LoopStoppedError: *to* has stopped; nothing was changed.
        NoServerError: *to* serves none of the others' addresses; nothing was
            changed.
    """
    others = [thread for thread in away_from if thread.running]
    served = {listener.sockname for listener in _listeners(to)}
    listening = {
        listener.sockname for thread in others for listener in _listeners(thread)
    }
    if listening and not listening & served:
        addresses = ", ".join(sorted(map(str, listening)))
        raise NoServerError(f"{to!r} has no server listening on {addresses}")

    def resume() -> None:
        for listener in _listeners(to):
            listener.resume()

    def pause(thread: LoopThread) -> None:
        for listener in _listeners(thread):
            if listener.sockname in served:
                listener.pause()

    await _on(to, resume)
    for thread in others:
        # A thread that has stopped accepts nothing more anyway.
        with contextlib.suppress(LoopStoppedError):
            await _on(thread, partial(pause, thread))


def astray(active: LoopThread, others: Iterable[LoopThread]) -> bool:
    """Whether another thread accepts connections that *active* should accept.

    That happens when a server was started after the routing was done.
    """
    accepting = {
        listener.sockname
        for thread in others
        for listener in _listeners(thread)
        if listener.is_accepting
    }
    return bool(accepting) and any(
        listener.sockname in accepting for listener in _listeners(active)
    )


def _listeners(thread: LoopThread) -> list[Any]:
    """May be called from any thread; pausing and resuming only from their own."""
    if not thread.running:
        return []
    loop = cast(Any, thread.loop)
    return list(loop.listeners.values())


async def _on(thread: LoopThread, what: Callable[[], None]) -> None:
    async def call() -> None:
        what()

    await asyncio.wrap_future(thread.submit(call()))

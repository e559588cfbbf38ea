"""New connections are accepted by one of several loop threads only.

Their servers share one listening socket, each through a duplicate of its own,
so what is not accepted by one of them waits in the queue of the same socket
for the other.  The new one begins before the old one ends: for a moment both
accept, and no connection waits.  What the old one has accepted in its last
moment is served there, like any other that it has.

Only listeners on an address that both serve are touched.  One that an
application has opened on one loop alone goes on accepting there.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from aioadapt.errors import AioadaptError, LoopStoppedError
from aioadapt.loop_thread import LoopThread


class NoServerError(AioadaptError):
    """The thread that was to accept has no server on the addresses of the others."""


async def route(to: LoopThread, *, away_from: Iterable[LoopThread]) -> None:
    """Have *to* accept, and then the others no more.

    May be awaited on any running loop; it ends when all of them have done so.

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
        raise NoServerError(f"{to!r} has no server that listens on {addresses}")

    def resume() -> None:
        for listener in _listeners(to):
            listener.resume()

    def pause(thread: LoopThread) -> None:
        for listener in _listeners(thread):
            if listener.sockname in served:
                listener.pause()

    await _on(to, resume)
    for thread in others:
        # One that stops meanwhile accepts nothing more anyhow.
        with contextlib.suppress(LoopStoppedError):
            await _on(thread, partial(pause, thread))


def astray(active: LoopThread, others: Iterable[LoopThread]) -> bool:
    """Whether another one accepts what *active* should.

    So it is where a server was started after the others had been told.
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
    """From any thread; to pause and to resume them is for their own."""
    if not thread.running:
        return []
    loop = cast(Any, thread.loop)
    return list(loop.listeners.values())


async def _on(thread: LoopThread, what: Callable[[], None]) -> None:
    async def call() -> None:
        what()

    await asyncio.wrap_future(thread.submit(call()))

"""Serves until a signal, then stops.

first SIGTERM or SIGINT    stop accepting, finish requests, close idle
                           connections, shut the application down, return
second                     terminate immediately, by that signal
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from aioadapt import LoopStoppedError

from .adaptive_server import AdaptiveServer

_log = logging.getLogger("aioadapt")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def serve_until_stopped(
    server: AdaptiveServer,
    *,
    signals: tuple[signal.Signals, ...],
    stop: asyncio.Event | None = None,
    on_started: Callable[[], None] = lambda: None,
) -> None:
    """Start *server*, and stop it when a signal arrives or *stop* is set.

    Raises:
        ServeError: the server could not start.
        LoopStoppedError: a loop's thread died.
    """
    loop = asyncio.get_running_loop()
    stop = stop or asyncio.Event()
    asked = False

    def on_signal(number: signal.Signals) -> None:
        nonlocal asked
        if asked:
            terminate_immediately(number, server.give_up)
        asked = True
        _log.info(
            "Received %s, shutting down; a second signal terminates immediately",
            number.name,
        )
        stop.set()

    for number in signals:
        loop.add_signal_handler(number, on_signal, number)
    stopping = asyncio.ensure_future(stop.wait())
    starting = asyncio.ensure_future(server.start())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
        if starting.cancelled():
            return
        starting.result()
        on_started()
        failing = asyncio.ensure_future(server.wait_for_a_dead_thread())
        await asyncio.wait({stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            raise LoopStoppedError(f"{failing.result()!r} died, so the server exits")
        failing.cancel()
    finally:
        stopping.cancel()
        await server.stop()


def terminate_immediately(
    number: signal.Signals, give_up: Callable[[], None]
) -> NoReturn:
    """End the process as the unhandled signal would have ended it."""
    give_up()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # The signal may be delivered with a delay, or be blocked.
    os._exit(128 + number)

"""``aioadapt.serve``: runs a server, in one or more processes, until a signal.

first SIGTERM or SIGINT    stop accepting, finish requests, close idle
                           connections, shut the application down, return
second                     terminate immediately, by that signal
"""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Unpack

from aioadapt import EpollEventLoop, LoopStoppedError, ServeError

from .adaptive_server import AdaptiveServer
from .options import Options, Settings, check_extra

_log = logging.getLogger("aioadapt")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    app: str | Callable[..., Any],
    *,
    workers: int = 1,
    sock: socket.socket | Sequence[socket.socket] | None = None,
    **settings: Unpack[Settings],
) -> None:
    """Serve an application until SIGTERM or SIGINT, then shut down gracefully.

    The application runs on two loops in each process, with its startup once on
    each; see :class:`aioadapt.AdaptiveServer`.  Logs go to standard error and the
    access log to standard output, as in uvicorn.

    Args:
        app: see :class:`aioadapt.AdaptiveServer`.
        workers: number of processes that accept from the same address.  With more
            than one, *app* must be ``"module:attribute"``, which each imports.
        sock: see :class:`aioadapt.AdaptiveServer`: bound sockets to use instead of
            host and port.
        **settings: see :class:`aioadapt.AdaptiveServer`.  Unlike there, the admin
            socket is on by default, at its default path; ``admin="off"`` turns it
            off.

    Raises:
        ServeError: the application cannot be served; the message is one line that
            says why.
        AioadaptError: any other error of :class:`aioadapt.AdaptiveServer`.
        LoopStoppedError: a loop's thread died while serving.
    """
    check_extra()
    if threading.current_thread() is not threading.main_thread():
        raise ServeError(
            "aioadapt.serve handles signals, which Python delivers to the main thread "
            "only; on other threads use aioadapt.AdaptiveServer"
        )
    settings.setdefault("admin", None)
    options = Options.of(settings)
    if workers != 1:
        from .workers import supervise

        supervise(app, workers, sock, settings)
        return
    # Imported after check_extra(): it uses uvicorn's formatters.
    from . import logs

    logs.configure(options.log_level)
    server = AdaptiveServer(app, sock=sock, **settings)
    with asyncio.Runner(loop_factory=EpollEventLoop) as runner:
        runner.run(serve_until_stopped(server, signals=SIGNALS))


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

"""``aioadapt.serve``: a server, or several processes of it, until a signal ends it.

the first SIGTERM or SIGINT   accept no more, finish requests, close idle
                              connections, end the application: return
the second                    end at once, by that signal
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
    """Serve an application until SIGTERM or SIGINT, then finish what was begun.

    The application runs on two loops of each process, its start-up once on
    each; see :class:`aioadapt.AdaptiveServer`.  Logs go to standard error, and
    the access log to standard output, as uvicorn's do.

    Args:
        app: as for :class:`aioadapt.AdaptiveServer`.
        workers: so many processes accept from the same address.  *app* must be
            ``"module:attribute"`` then, which each of them imports.
        sock: as there: bound already, in place of host and port.
        **settings: as for :class:`aioadapt.AdaptiveServer`; but there is an
            admin socket at the usual place unless ``admin`` is "off".

    Raises:
        ServeError: it cannot be served as asked; one line that says why.
        AioadaptError: likewise, what :class:`aioadapt.AdaptiveServer` raises.
        LoopStoppedError: a loop's thread died while it served.
    """
    check_extra()
    if threading.current_thread() is not threading.main_thread():
        raise ServeError(
            "aioadapt.serve waits for signals, which Python gives to the main thread "
            "only; elsewhere use aioadapt.AdaptiveServer"
        )
    settings.setdefault("admin", None)
    options = Options.of(settings)
    if workers != 1:
        from .workers import supervise

        supervise(app, workers, sock, settings)
        return
    # It uses uvicorn's formatters.
    from . import logs

    logs.configure(options.log_level)
    server = AdaptiveServer(app, sock=sock, **settings)
    with asyncio.Runner(loop_factory=EpollEventLoop) as runner:
        runner.run(serve_until_told(server, signals=SIGNALS))


async def serve_until_told(
    server: AdaptiveServer,
    *,
    signals: tuple[signal.Signals, ...],
    told: asyncio.Event | None = None,
    on_started: Callable[[], None] = lambda: None,
) -> None:
    """Start *server*, and stop it when a signal comes or *told* is set.

    Raises:
        ServeError: it could not start.
        LoopStoppedError: a loop's thread died.
    """
    loop = asyncio.get_running_loop()
    told = told or asyncio.Event()
    asked = False

    def on_signal(number: signal.Signals) -> None:
        nonlocal asked
        if asked:
            end_at_once(number, server.give_up)
        asked = True
        _log.info("%s: finishing; a second signal ends at once", number.name)
        told.set()

    for number in signals:
        loop.add_signal_handler(number, on_signal, number)
    telling = asyncio.ensure_future(told.wait())
    starting = asyncio.ensure_future(server.start())
    try:
        await asyncio.wait({starting, telling}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
        if starting.cancelled():
            return
        starting.result()
        on_started()
        failing = asyncio.ensure_future(server.wait_for_a_dead_thread())
        await asyncio.wait({telling, failing}, return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            raise LoopStoppedError(f"{failing.result()!r}: the server ends")
        failing.cancel()
    finally:
        telling.cancel()
        await server.stop()


def end_at_once(number: signal.Signals, give_up: Callable[[], None]) -> NoReturn:
    """As the signal would have ended the process, had nobody handled it."""
    give_up()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # The signal may be delivered a moment later, or be blocked.
    os._exit(128 + number)

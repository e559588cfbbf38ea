"""``aioadapt.serve``: runs a server, in one or more processes, until a signal."""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from aioadapt import EpollEventLoop, ServeError

from .adaptive_server import AdaptiveServer
from .options import Options, Settings, check_extra
from .stopping import SIGNALS, serve_until_stopped


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

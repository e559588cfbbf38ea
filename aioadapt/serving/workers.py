"""Several processes that serve the same address, and the one that looks after them.

    parent    listens, and never accepts; starts the workers; hands signals on
    worker    a whole adaptive server over the parent's listening sockets, with
              an admin socket of its own

A worker says over a pipe when it serves, or why it cannot.  One that cannot at
the very start is the end of all: it would go the same way for ever.  One that
has served and died is replaced.  When the parent is gone, however that came
about, the pipe says so to the workers, and they finish.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from aioadapt import AioadaptError, EpollEventLoop, ServeError

from . import logs, tls
from .adaptive_server import AdaptiveServer
from .listening import Listening, listen
from .options import Options, Settings

_log = logging.getLogger("aioadapt")

# A new interpreter: a fork would take the parent's loop and threads along.
_spawn = multiprocessing.get_context("spawn")

# A worker that dies young is replaced later and later.  Guesses.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
GROWN_UP_S = 10.0

MOST_WORKERS = 1024


def supervise(
    app: str | Callable[..., Any],
    workers: int,
    sock: socket.socket | Sequence[socket.socket] | None,
    settings: Settings,
) -> None:
    """Serve with so many processes until a signal; see :func:`aioadapt.serve`.

    Raises:
        ServeError: a worker could not start, and why.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise ServeError(f"workers is {workers}, and must be from 1 to {MOST_WORKERS}")
    if not isinstance(app, str):
        raise ServeError(
            "each worker imports the application itself: name it, as in "
            'aioadapt.serve("main:app", workers=2)'
        )
    if settings.get("admin") not in (None, "off"):
        raise ServeError(
            "each worker has an admin socket of its own: leave its path out, or say off"
        )
    if (settings.get("admin_tcp") or ("", 0))[1] != 0:
        raise ServeError(
            "each worker has an admin address of its own: give it port 0, or none"
        )
    options = Options.of(settings)
    logs.configure(options.log_level)
    tls_context = tls.context_of(options)
    listening = listen(options, sock)
    try:
        urls = listening.urls(tls=tls_context is not None)
        _log.info("Listening on %s, for %d workers", ", ".join(urls), workers)
        with asyncio.Runner(loop_factory=EpollEventLoop) as runner:
            runner.run(_Parent(app, settings, listening, workers).run())
    finally:
        listening.close()


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    serves: bool = False
    failure: str | None = None


class _Parent:
    def __init__(
        self, app: str, settings: Settings, listening: Listening, count: int
    ) -> None:
        self._app = app
        self._settings = settings
        self._listening = listening
        self._count = count
        self._workers: set[_Worker] = set()
        self._finishing = asyncio.Event()
        self._asked = False

    async def run(self) -> None:
        from .run import SIGNALS

        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._count):
                    group.create_task(self._keep_one())
        except* ServeError as errors:
            # The others said the same, or were told to end.
            raise errors.exceptions[0] from None
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        from .run import end_at_once

        if self._asked:
            for worker in self._workers:
                worker.process.kill()
            end_at_once(number, self._listening.close)
        self._asked = True
        _log.info("%s: the workers finish; a second signal ends at once", number.name)
        self._finish()

    def _finish(self) -> None:
        self._finishing.set()
        # As long as it is open the kernel goes on taking connections, which
        # nobody will ever serve.
        self._listening.close()
        for worker in self._workers:
            worker.process.terminate()

    async def _keep_one(self) -> None:
        """One worker, and after it the next one."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        served_before = False
        while not self._finishing.is_set():
            begun_s = loop.time()
            worker = await self._one_life()
            if self._finishing.is_set():
                return
            why = worker.failure or f"it ended with {worker.process.exitcode}"
            if not (worker.serves or served_before):
                self._finish()
                raise ServeError(worker.failure or f"a worker did not start: {why}")
            served_before = True
            if loop.time() - begun_s > GROWN_UP_S:
                pause_s = FIRST_PAUSE_S
            _log.error(
                "worker %d is gone: %s; the next one starts in %g s",
                worker.process.pid,
                why,
                pause_s,
            )
            try:
                await asyncio.wait_for(self._finishing.wait(), pause_s)
            except TimeoutError:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _one_life(self) -> _Worker:
        loop = asyncio.get_running_loop()
        ours, theirs = _spawn.Pipe()
        process = _spawn.Process(
            target=work,
            args=(self._app, self._settings, self._listening.sockets, theirs),
        )
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.add(worker)
        loop.add_reader(ours.fileno(), self._hear, worker)
        loop.add_reader(process.sentinel, worker.ended.set)
        try:
            await worker.ended.wait()
            # Its last words may have come with its end.
            self._hear(worker)
        finally:
            loop.remove_reader(ours.fileno())
            loop.remove_reader(process.sentinel)
            self._workers.discard(worker)
            if not worker.ended.is_set():
                process.terminate()
            process.join()
            ours.close()
        return worker

    def _hear(self, worker: _Worker) -> None:
        try:
            while worker.pipe.poll():
                worker.failure = worker.pipe.recv()
                worker.serves |= worker.failure is None
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(worker.pipe.fileno())


def work(
    app: str, settings: Settings, sockets: list[socket.socket], parent: Connection
) -> None:
    """The worker's whole life, in its own process."""
    # A terminal gives Ctrl+C to all; the parent hands it on, once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(settings.get("log_level", "info"))
    with parent:
        try:
            server = AdaptiveServer(app, sock=sockets, **settings)
            with asyncio.Runner(loop_factory=EpollEventLoop) as runner:
                runner.run(_until_told(server, parent, sockets))
        except AioadaptError as error:
            parent.send(str(error))
            raise SystemExit(2) from None


async def _until_told(
    server: AdaptiveServer, parent: Connection, sockets: list[socket.socket]
) -> None:
    from .run import serve_until_told

    told = asyncio.Event()

    def on_started() -> None:
        # The server has duplicates by now.
        for sock in sockets:
            sock.close()
        parent.send(None)

    def on_parent_gone() -> None:
        loop.remove_reader(parent.fileno())
        _log.error("the parent of worker %d is gone; it finishes", os.getpid())
        told.set()

    loop = asyncio.get_running_loop()
    # Nothing is ever said in this direction, so that it is readable at the end.
    loop.add_reader(parent.fileno(), on_parent_gone)
    try:
        await serve_until_told(
            server,
            signals=(signal.SIGTERM,),
            told=told,
            on_started=on_started,
        )
    finally:
        loop.remove_reader(parent.fileno())

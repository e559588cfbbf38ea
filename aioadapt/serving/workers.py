"""Worker processes that serve the same address, and the parent that supervises them.

    parent    listens but never accepts; starts the workers; forwards signals
    worker    a complete adaptive server on the parent's listening sockets, with
              its own admin socket

A worker reports over a pipe that it serves, or why it cannot.  If a worker cannot
start in the first place, the server exits: a restart would fail in the same way,
forever.  A worker that has served and dies is replaced, and so is one that was killed
by a signal, whatever it had reported: it may have answered requests before the parent
read that it serves.  When the parent exits, for whatever reason, its end of the pipe
closes and the workers shut down.

The parent waits for its workers without blocking its loop, which has the signals to
handle, and it ends after them: whoever waits for the parent can then listen on the same
address.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from aioadapt import AioadaptError, EpollEventLoop, ServeError

from . import logs, tls
from .adaptive_server import AdaptiveServer
from .listening import Listening, listen
from .options import Options, Settings
from .stopping import SIGNALS, serve_until_stopped, terminate_immediately

_log = logging.getLogger("aioadapt")

# A new interpreter: a fork would inherit the parent's loop and threads.
_spawn = multiprocessing.get_context("spawn")

# The delay before a worker is replaced doubles as long as workers die within
# GROWN_UP_S of their start.  Guesses.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
GROWN_UP_S = 10.0

# Where there is no pidfd: how often to look whether a worker has ended.  A guess.
LOOK_EVERY_S = 0.1

# The kernel ends a killed process within milliseconds, unless a driver or a network
# file system holds it.  A guess.
KILLED_WITHIN_S = 5.0

MOST_WORKERS = 1024


def supervise(
    app: str | Callable[..., Any],
    workers: int,
    sock: socket.socket | Sequence[socket.socket] | None,
    settings: Settings,
) -> None:
    """Serve with *workers* processes until a signal; see :func:`aioadapt.serve`.

    Raises:
        ServeError: a worker could not start; the message says why.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise ServeError(f"workers must be from 1 to {MOST_WORKERS}, not {workers}")
    if not isinstance(app, str):
        raise ServeError(
            "with several workers each process imports the application: pass its name, "
            'as in aioadapt.serve("main:app", workers=2)'
        )
    if settings.get("admin") not in (None, "off"):
        raise ServeError(
            "each worker has its own admin socket: omit the path, or use admin=off"
        )
    if (settings.get("admin_tcp") or ("", 0))[1] != 0:
        raise ServeError(
            "each worker has its own admin TCP address: use port 0, or omit it"
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
    serves: bool = False
    failure: str | None = None

    @property
    def was_killed(self) -> bool:
        """By a signal; its process has been joined."""
        exitcode = self.process.exitcode
        return exitcode is not None and exitcode < 0


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
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._count):
                    group.create_task(self._supervise_one())
        except* ServeError as errors:
            # The other workers failed likewise, or were terminated.
            raise errors.exceptions[0] from None
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._asked:
            self._kill_workers()
            terminate_immediately(number, self._listening.close)
        self._asked = True
        _log.info(
            "Received %s, shutting down the workers; a second signal terminates them "
            "immediately",
            number.name,
        )
        self._finish()

    def _finish(self) -> None:
        self._finishing.set()
        # As long as it is open, the kernel keeps accepting connections that nothing
        # will ever serve.
        self._listening.close()
        for worker in self._workers:
            worker.process.terminate()

    def _kill_workers(self) -> None:
        """Kill them and wait for their end: until then they listen."""
        processes = [worker.process for worker in self._workers]
        for process in processes:
            process.kill()
        at_s = time.monotonic() + KILLED_WITHIN_S
        while any(process.exitcode is None for process in processes):
            if time.monotonic() > at_s:
                return
            time.sleep(0.001)

    async def _supervise_one(self) -> None:
        """Run one worker, and replace it when it dies."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        served_before = False
        while not self._finishing.is_set():
            begun_s = loop.time()
            worker = await self._run_worker()
            if self._finishing.is_set():
                return
            why = worker.failure or f"exit code {worker.process.exitcode}"
            if not (worker.serves or worker.was_killed or served_before):
                self._finish()
                raise ServeError(worker.failure or f"a worker could not start: {why}")
            served_before = True
            if loop.time() - begun_s > GROWN_UP_S:
                pause_s = FIRST_PAUSE_S
            _log.error(
                "Worker process [%d] died: %s; starting a new one in %g s",
                worker.process.pid,
                why,
                pause_s,
            )
            try:
                await asyncio.wait_for(self._finishing.wait(), pause_s)
            except TimeoutError:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run_worker(self) -> _Worker:
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
        loop.add_reader(ours.fileno(), self._read_pipe, worker)
        try:
            try:
                await _end_of(process)
            except asyncio.CancelledError:
                # Another worker could not start, so the server ends.  A second signal
                # would cost this one the requests that it is to finish.
                if not self._finishing.is_set():
                    process.terminate()
                await _end_of(process)
                raise
            # Its last message may have arrived together with its end.
            self._read_pipe(worker)
        finally:
            loop.remove_reader(ours.fileno())
            self._workers.discard(worker)
            ours.close()
        return worker

    def _read_pipe(self, worker: _Worker) -> None:
        try:
            while worker.pipe.poll():
                worker.failure = worker.pipe.recv()
                worker.serves |= worker.failure is None
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(worker.pipe.fileno())


async def _end_of(process: SpawnProcess) -> None:
    """Wait until *process* has ended, and join it.

    Not by its sentinel, a pipe that it and its children have: it may close early, and
    it stays open as long as a child lives.
    """
    assert process.pid is not None
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        # An old kernel, a sandbox that forbids it, or no descriptor.
        while process.exitcode is None:  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(LOOK_EVERY_S)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    process.join()


def work(
    app: str, settings: Settings, sockets: list[socket.socket], parent: Connection
) -> None:
    """The main function of a worker process."""
    # A terminal sends Ctrl+C to all processes; the parent forwards it as SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # They were passed on by being inheritable.  The application's own children would
    # keep the address in use after the server has ended.
    os.set_inheritable(parent.fileno(), False)
    for sock in sockets:
        sock.set_inheritable(False)
    logs.configure(settings.get("log_level", "info"))
    with parent:
        try:
            server = AdaptiveServer(app, sock=sockets, **settings)
            with asyncio.Runner(loop_factory=EpollEventLoop) as runner:
                runner.run(_serve(server, parent, sockets))
        except AioadaptError as error:
            parent.send(str(error))
            raise SystemExit(2) from None


async def _serve(
    server: AdaptiveServer, parent: Connection, sockets: list[socket.socket]
) -> None:
    stop = asyncio.Event()

    def on_started() -> None:
        # The server has its own duplicates by now.
        for sock in sockets:
            sock.close()
        parent.send(None)

    def on_parent_gone() -> None:
        loop.remove_reader(parent.fileno())
        _log.error("Parent process is gone, shutting down worker [%d]", os.getpid())
        stop.set()

    loop = asyncio.get_running_loop()
    # The parent never sends anything, so the pipe becomes readable only when it ends.
    loop.add_reader(parent.fileno(), on_parent_gone)
    try:
        await serve_until_stopped(
            server,
            signals=(signal.SIGTERM,),
            stop=stop,
            on_started=on_started,
        )
    finally:
        loop.remove_reader(parent.fileno())

"""AdaptiveServer: one application, on the engine that its load calls for.

    control loop        the caller's: AdaptiveServer, Controller, Admin
    first thread        a loop of the engine to start on, and a host server
    standby thread      the same on the other engine, made when first needed

Both host servers accept from one listening socket, each through its own duplicate,
and only one of them at a time.  Nothing of the application is shared between
the loops by the server: its life cycle runs once on each.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aioadapt import (
    Controller,
    Decision,
    LoopStoppedError,
    LoopThread,
    Migrator,
    ServeError,
    Switch,
    Thresholds,
    WorkloadHint,
)
from aioadapt.control import calibration
from aioadapt.control.sample import Engine
from aioadapt.control.start import Start, choose_start, gains_somewhere

from . import tls
from .admin import Admin
from .application import Application
from .host_server import HostServer, make_host_server
from .listening import Listening, listen
from .options import Options, check_extra
from .state import EngineState, ServerState, python_in_words
from .tally import Tally

_log = logging.getLogger("aioadapt")

# Beyond what a host server allows itself: a callback that blocks holds up its loop.
STOPS_WITHIN_S = 5.0


@dataclass(slots=True)
class _Side:
    """One loop thread and the host server on it."""

    thread: LoopThread
    host_server: HostServer
    sockets: list[socket.socket]  # which the host server closes, unless its thread dies
    life: asyncio.Future[None]  # done when the loop has ended


class AdaptiveServer:
    """Serves an application on two loops, one per engine, one of them at a time.

    **The application runs on two loops.**  Its life cycle (ASGI lifespan,
    aiohttp's start-up and clean-up) runs once on each, so whatever belongs to a
    loop has to be made there and kept in the lifespan's state or in the aiohttp
    application.  With ``factory`` each loop gets an application of its own;
    without, both run the same object.  What was made outside, and is used on
    the loop that it does not belong to, raises :class:`aioadapt.ForeignLoopError`.

    ::

        async with aioadapt.AdaptiveServer("main:app", port=8000) as server:
            await server.switch("uring")

    Args:
        app: ``"module:attribute"``, an ASGI application, or a factory of one or
            of an aiohttp application.  An aiohttp application itself serves one
            loop only, and so needs a pinned ``start``.
        factory: *app* is to be called for the application, once per loop.
        host: name or address to listen on; a name may have several addresses.
        port: 0 takes a free one, see :attr:`addresses`.
        uds: path of a Unix socket to listen on, in place of host and port.
        sock: a bound socket, or some, to listen on, in place of all that; it is
            duplicated.
        start: "auto", or the engine to start on and to stay on.
        hint: what the load is going to be like.
        migrate: bring live connections along; else only new ones follow.
        adapt: False for no switches but those that are asked for.
        thresholds: of the decisions; None for those that ``aioadapt calibrate``
            has stored, or the defaults.
        ssl_certfile: a certificate in PEM format, to serve TLS with.  Its
            connections follow a switch only when they are new.
        ssl_keyfile: its key, where that is not in the same file.
        ssl_keyfile_password: of the key.
        log_level: of uvicorn's loggers; where they write is the program's choice.
        access_log: log each request.
        graceful_s: seconds that requests, and then the application's end, get
            when it stops.
        keep_alive_s: seconds until an idle connection is closed.
        backlog: connections that may wait to be accepted.
        admin: path of the Unix socket where ``aioadapt top`` and ``why`` can
            look at it; None for the usual place, "off" for none.
        admin_tcp: host and port for the same, for everybody who can connect.
        uvicorn_settings: more of ``uvicorn.Config``'s, such as ``root_path``.

    Raises:
        ServeError: a value cannot be, there is no such application, a TLS file
            cannot be used.
        ThresholdsError: the stored thresholds cannot be used.
        UringUnavailableError: ``start="uring"``, and there is none here.
    """

    def __init__(
        self,
        app: str | Callable[..., Any],
        *,
        factory: bool = False,
        host: str = "127.0.0.1",
        port: int = 8000,
        uds: str | None = None,
        sock: socket.socket | Sequence[socket.socket] | None = None,
        start: str | None = None,
        hint: WorkloadHint | None = None,
        migrate: bool = True,
        adapt: bool = True,
        thresholds: Thresholds | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        ssl_keyfile_password: str | None = None,
        log_level: str = "info",
        access_log: bool = True,
        graceful_s: float = 10.0,
        keep_alive_s: float = 5.0,
        backlog: int = 2048,
        admin: str | None = "off",
        admin_tcp: tuple[str, int] | None = None,
        uvicorn_settings: Mapping[str, Any] | None = None,
    ) -> None:
        check_extra()
        self._sock = sock
        self._options = Options(
            factory=factory,
            host=host,
            port=port,
            uds=uds,
            start=start,
            hint=hint,
            migrate=migrate,
            adapt=adapt,
            thresholds=thresholds,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
            ssl_keyfile_password=ssl_keyfile_password,
            log_level=log_level,
            access_log=access_log,
            graceful_s=graceful_s,
            keep_alive_s=keep_alive_s,
            backlog=backlog,
            admin=admin,
            admin_tcp=admin_tcp,
            uvicorn_settings=uvicorn_settings or {},
        )
        self.migrator = Migrator()
        self._application = Application(app, factory=factory)
        self._tls = tls.context_of(self._options)
        self._thresholds = thresholds or calibration.load()
        self.start_choice: Start = choose_start(
            start=start, hint=hint, gains=gains_somewhere(self._thresholds)
        )
        """The engine to start on, and why."""
        if self._application.serves_one_loop_only:
            self._check_one_loop()
        self._listening: Listening | None = None
        self._controller: Controller | None = None
        self._controlling: asyncio.Task[None] | None = None
        self._tally = Tally()
        self._admin = Admin(self.state, path=admin, tcp=admin_tcp)
        # Held while a side is being opened: stopping waits for it.
        self._opening = asyncio.Lock()
        self._stopping = False
        self._dead: LoopThread | None = None
        self._died = asyncio.Event()
        self._sides: list[_Side] = []
        self._addresses: list[Any] = []
        self._urls: list[str] = []
        self._started_at = 0.0

    # -- what it is doing

    @property
    def addresses(self) -> list[Any]:
        """What it listens on, as ``getsockname()`` says it: host and port, or a path."""
        return list(self._addresses)

    @property
    def urls(self) -> list[str]:
        """What it listens on, for people."""
        return list(self._urls)

    @property
    def controller(self) -> Controller:
        """What decides; there from :meth:`start` on."""
        assert self._controller is not None, "the server has not been started"
        return self._controller

    @property
    def adapting(self) -> bool:
        """Whether the engine follows the load."""
        return self._options.adapt and not self.start_choice.pinned

    async def switch(self, to: Engine, *, reason: str = "asked for") -> Switch:
        """Route new connections to that engine, and bring live ones along.

        See :meth:`aioadapt.Controller.switch`.
        """
        return await self.controller.switch(to, reason=reason)

    def state(self) -> ServerState:
        """What it is doing at this moment; from any thread, once it has started."""
        controller = self.controller
        counts = self._tally.counts(controller.switches)
        return ServerState(
            pid=os.getpid(),
            app=self._application.name,
            addresses=self.urls,
            started_at=self._started_at,
            now=time.time(),
            python=python_in_words(),
            adapting=controller.adapting,
            # What passes through TLS is not readable, so nobody can tell when such
            # a connection is quiet.
            migrating=self._options.migrate and self._tls is None,
            start=self.start_choice,
            active=controller.active,
            engines=[
                EngineState(
                    engine=engine,
                    active=engine == controller.active,
                    running=thread.running,
                    stats=thread.loop.stats(),
                )
                for engine, thread in controller.threads.items()
            ],
            migrator=self.migrator.stats,
            decisions=controller.decisions,
            switches=controller.switches,
            verdicts=counts.verdicts,
            switched=counts.switched,
        )

    def _check_one_loop(self) -> None:
        if self.adapting:
            raise ServeError(
                f"{self._application.name} is an aiohttp application, which serves one "
                f"loop only; name the function that makes it (module:make_app), or pin "
                f"the engine (start=epoll)"
            )

    # -- life

    async def start(self) -> Self:
        """Start the application on the first engine, and accept.

        Raises:
            ServeError: it cannot be served; nothing of it is left.
            RuntimeError: it was started before.
        """
        if self._listening is not None:
            raise RuntimeError("a server can be started once only")
        self._listening = listen(self._options, self._sock)
        self._addresses = self._listening.addresses
        self._urls = self._listening.urls(tls=self._tls is not None)
        try:
            first = await self._open_side(self.start_choice.engine, accepting=True)
            self._controller = Controller(
                first,
                standby=self._open_standby,
                migrator=self.migrator,
                thresholds=self._thresholds,
                move=self._options.migrate,
                adapting=self.adapting,
                on_decision=self._note,
            )
            self._started_at = time.time()
            await self._admin.start()
        except BaseException:
            await self.stop()
            raise
        self._controlling = asyncio.create_task(self._controller.run())
        self._say_what_it_does()
        return self

    async def stop(self) -> None:
        """Accept no more, finish requests, close idle connections, end both loops.

        What is unfinished after ``graceful_s`` seconds is cancelled.  Stopping
        it again does nothing.
        """
        if self._controlling is not None:
            self._controlling.cancel()
            await asyncio.wait([self._controlling])
            self._controlling = None
        async with self._opening:
            self._stopping = True
        if self._listening is not None:
            # The host servers close theirs first of all.  As long as one is open the
            # kernel goes on taking connections, which nobody will ever serve.
            self._listening.close()
        sides, self._sides = self._sides, []
        # Both at once: they have the same time for it.
        await asyncio.gather(*(self._close_side(side) for side in sides))
        await self._admin.stop()

    def give_up(self) -> None:
        """What has to be done of :meth:`stop` when the process ends at once."""
        if self._listening is not None:
            self._listening.close()

    async def wait_for_a_dead_thread(self) -> LoopThread:
        """Wait until one of the loop threads ends before it was told to."""
        await self._died.wait()
        assert self._dead is not None
        return self._dead

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # -- the two sides

    async def _open_standby(self, engine: Engine) -> LoopThread:
        async with self._opening:
            if self._stopping:
                raise LoopStoppedError("the server stops, and starts no other engine")
            for side in list(self._sides):
                if not side.thread.running:
                    # It has died, and is replaced.
                    self._sides.remove(side)
                    await self._close_side(side)
            return await self._open_side(engine, accepting=False)

    async def _open_side(self, engine: Engine, *, accepting: bool) -> LoopThread:
        assert self._listening is not None
        thread = LoopThread(engine, name=f"aioadapt-{engine}")
        # It takes milliseconds, and half a thread cannot be taken back.
        thread.start()
        sockets = self._listening.duplicates()
        try:
            starting = thread.submit(self._start_host_server(sockets, accepting))
            host_server = await asyncio.wrap_future(starting)
        except BaseException:
            await _stop(thread)
            for sock in sockets:
                sock.close()
            raise
        life = asyncio.wrap_future(thread.submit(_for_ever()))
        side = _Side(thread, host_server, sockets, life)
        side.life.add_done_callback(lambda _: self._note_end(side))
        self._sides.append(side)
        return thread

    async def _start_host_server(
        self, sockets: list[socket.socket], accepting: bool
    ) -> HostServer:
        """On the side's own loop."""
        host_server = await make_host_server(
            self._application, self._options, self._tls
        )
        await host_server.start(sockets)
        if not accepting:
            loop: Any = asyncio.get_running_loop()
            for listener in loop.listeners.values():
                listener.pause()
        return host_server

    async def _close_side(self, side: _Side) -> None:
        if side.thread.running:
            stopping = asyncio.wrap_future(side.thread.submit(side.host_server.stop()))
            at_most_s = 2 * self._options.graceful_s + STOPS_WITHIN_S
            await asyncio.wait([stopping], timeout=at_most_s)
            if not stopping.done():
                _log.error("%r is blocked and did not stop", side.thread)
            elif stopping.exception() is not None:
                _log.error(
                    "%r did not stop well", side.thread, exc_info=stopping.exception()
                )
        await _stop(side.thread)
        for sock in side.sockets:
            sock.close()

    def _note_end(self, side: _Side) -> None:
        if not side.life.cancelled():
            side.life.exception()  # that its loop has stopped
        if not self._stopping:
            self._dead = side.thread
            self._died.set()

    def _note(self, decision: Decision) -> None:
        self._tally.decided(decision)
        self._tally.counts(self.controller.switches)

    def _say_what_it_does(self) -> None:
        start = self.start_choice
        _log.info("Listening on %s", ", ".join(self._urls))
        _log.info("Starting on %s: %s", start.engine, start.reason)
        if not self.adapting:
            _log.info("Not adapting: the engine stays")
        elif self._tls is not None:
            _log.info("Adapting; TLS connections follow only when they are new")
        elif not self._options.migrate:
            _log.info("Adapting; new connections follow, live ones stay")
        else:
            _log.info("Adapting; live connections follow the engine")


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _stop(thread: LoopThread) -> None:
    try:
        await asyncio.to_thread(thread.stop, STOPS_WITHIN_S)
    except TimeoutError as error:
        _log.error("%s", error)

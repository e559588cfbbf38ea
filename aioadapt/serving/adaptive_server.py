"""AdaptiveServer: serves one application on the engine that suits its load.

    control loop        the caller's: AdaptiveServer, Controller, Admin
    first thread        a loop on the engine to start with, and a host server
    standby thread      the same on the other engine, created when first needed

Both host servers accept from one listening socket, each through its own duplicate,
and only one of them at a time.  The server shares nothing of the application
between the loops: the application's life cycle runs once on each.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
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
from .listening import Listening, listen
from .options import Options, check_extra
from .side import Side
from .state import EngineState, ServerState, python_in_words
from .tally import Tally

_log = logging.getLogger("aioadapt")


class AdaptiveServer:
    """Serves an application on two loops, one per engine, of which one accepts.

    **The application runs on two loops.**  Its life cycle (ASGI lifespan, aiohttp's
    startup and cleanup) runs once on each, so whatever belongs to a loop must be
    created there and kept in the lifespan state or in the aiohttp application.
    With ``factory`` each loop gets its own application; otherwise both share one
    object.  Using an object on a loop that it does not belong to raises
    :class:`aioadapt.ForeignLoopError`.

    ::

        async with aioadapt.AdaptiveServer("main:app", port=8000) as server:
            await server.switch("uring")

    Args:
        app: ``"module:attribute"``, an ASGI application, or a factory of an ASGI or
            aiohttp application.  An aiohttp application object serves one loop
            only, and therefore needs a pinned ``start``.
        factory: call *app* to get the application, once per loop.
        host: name or address to listen on; a name may have several addresses.
        port: port to listen on; 0 picks a free one, see :attr:`addresses`.
        uds: path of a Unix socket to listen on instead of host and port.
        sock: one or more bound sockets to listen on instead of all these; they are
            duplicated.
        start: "auto", or the engine to start and stay on.
        hint: the expected workload.
        migrate: move live connections too; False routes only new ones.
        adapt: False for no switches with the load; the safety revert and requested
            switches remain.
        thresholds: when to switch; None for the thresholds stored by ``aioadapt
            calibrate``, or else the defaults.
        ssl_certfile: certificate file in PEM format; serves TLS.  Live TLS
            connections do not move.
        ssl_keyfile: key file, if the key is not in the certificate file.
        ssl_keyfile_password: password of the key.
        log_level: level of uvicorn's loggers; their handlers are up to the program.
        access_log: log each request.
        graceful_s: shutdown grace period in seconds, first for running requests and
            then again for the application's shutdown.
        keep_alive_s: seconds after which an idle connection is closed.
        backlog: maximum number of connections waiting to be accepted.
        admin: path of the Unix socket for ``aioadapt top`` and ``why``; None for
            the default path, "off" for none.
        admin_tcp: host and port for the same over TCP, open to anyone who can
            connect.
        uvicorn_settings: further settings of ``uvicorn.Config``, such as
            ``root_path``.

    Raises:
        ServeError: a value is invalid, the application does not exist, or a TLS
            file cannot be used.
        ThresholdsError: the stored thresholds are invalid.
        UringUnavailableError: ``start="uring"``, and io_uring cannot be used here.
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
        # Held while a side is being opened; stop() waits for it.
        self._opening = asyncio.Lock()
        self._stopping = False
        # All who stop the server wait for this one.
        self._shutting_down: asyncio.Task[None] | None = None
        self._dead: LoopThread | None = None
        self._died = asyncio.Event()
        self._sides: list[Side] = []
        self._addresses: list[Any] = []
        self._urls: list[str] = []
        self._started_at = 0.0

    # -- state

    @property
    def addresses(self) -> list[Any]:
        """The addresses it listens on, as ``getsockname()`` returns them."""
        return list(self._addresses)

    @property
    def urls(self) -> list[str]:
        """The addresses it listens on, as URLs."""
        return list(self._urls)

    @property
    def controller(self) -> Controller:
        """The controller; available from :meth:`start` on."""
        assert self._controller is not None, "the server has not been started"
        return self._controller

    @property
    def adapting(self) -> bool:
        """Whether the server switches engines with the load."""
        return self._options.adapt and not self.start_choice.pinned

    async def switch(
        self, to: Engine, *, reason: str = "switch() was called"
    ) -> Switch:
        """Route new connections to the engine *to*, and move live ones there.

        See :meth:`aioadapt.Controller.switch`.
        """
        return await self.controller.switch(to, reason=reason)

    def state(self) -> ServerState:
        """The server's state at this moment; from any thread, once it has started."""
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
            # TLS hides the bytes, so there is no telling when such a connection is
            # quiet.
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
                f"loop only; pass its factory instead (module:make_app), or pin the "
                f"engine (start=epoll)"
            )

    # -- life cycle

    async def start(self) -> Self:
        """Start the application on the first engine, and accept connections.

        Raises:
            ServeError: the application cannot be served; everything is cleaned up.
            LoopStoppedError: :meth:`stop` was called meanwhile.
            RuntimeError: the server was started before.
        """
        if self._listening is not None:
            raise RuntimeError("a server can be started only once")
        self._listening = listen(self._options, self._sock)
        self._addresses = self._listening.addresses
        self._urls = self._listening.urls(tls=self._tls is not None)
        try:
            async with self._opening:
                first = await self._open_side(self.start_choice.engine, accepting=True)
                self._controller = Controller(
                    first,
                    standby=self._open_standby,
                    migrator=self.migrator,
                    thresholds=self._thresholds,
                    move=self._options.migrate,
                    adapting=self.adapting,
                    on_decision=self._on_decision,
                )
                self._started_at = time.time()
                await self._admin.start()
                if self._stopping:
                    raise LoopStoppedError("the server was stopped while it started")
                self._controlling = asyncio.create_task(self._controller.run())
        except BaseException:
            await self.stop()
            raise
        self._log_start()
        return self

    async def stop(self) -> None:
        """Stop accepting, finish requests, close idle connections, stop both loops.

        Requests that are not finished after ``graceful_s`` seconds are cancelled.
        It may be called again, by several tasks at once, or before the start, which
        does nothing.  Each call returns when everything has stopped.  Cancelling a
        call ends that call only: stopping goes on, and can be waited for with another
        call.  If the caller's own loop ends meanwhile, the requests are cancelled.
        """
        if self._listening is None:
            return
        if self._shutting_down is None:
            self._stopping = True
            self._shutting_down = asyncio.create_task(self._shut_down())
            self._shutting_down.add_done_callback(self._on_shut_down)
        await asyncio.shield(self._shutting_down)

    async def _shut_down(self) -> None:
        """If it is cancelled, it hurries and leaves no step out."""
        assert self._listening is not None
        graceful = False
        try:
            if self._controlling is not None:
                self._controlling.cancel()
                await asyncio.wait([self._controlling])
            async with self._opening:
                pass  # What was being opened is open, or has failed.
            graceful = True
        finally:
            # The host servers close their duplicates first thing when they stop.  As
            # long as one stays open, the kernel keeps accepting connections that
            # nothing will ever serve.
            self._listening.close()
            sides, self._sides = self._sides, []
            try:
                # Concurrently, so that they share the grace period.
                await asyncio.gather(*(side.close(graceful=graceful) for side in sides))
            finally:
                await self._admin.stop()

    def _on_shut_down(self, task: "asyncio.Task[None]") -> None:
        if self._sides:
            # Cancelled before it took its first step, so it took none.
            assert self._listening is not None
            self._listening.close()
            for side in self._sides:
                side.end()
            self._admin.close()

    def give_up(self) -> None:
        """The part of :meth:`stop` that is needed if the process exits immediately."""
        if self._listening is not None:
            self._listening.close()

    async def wait_for_a_dead_thread(self) -> LoopThread:
        """Wait until a loop thread ends without having been stopped, and return it."""
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
                raise LoopStoppedError(
                    f"the server is stopping and does not start a loop on {engine}"
                )
            for side in list(self._sides):
                if not side.thread.running:
                    # Its thread has died; the new one replaces it.
                    self._sides.remove(side)
                    await side.close()
            return await self._open_side(engine, accepting=False)

    async def _open_side(self, engine: Engine, *, accepting: bool) -> LoopThread:
        assert self._listening is not None
        side = Side(engine, self._options)
        await side.open(
            self._application,
            self._tls,
            self._listening,
            accepting=accepting,
            on_end=self._on_side_end,
        )
        self._sides.append(side)
        return side.thread

    def _on_side_end(self, thread: LoopThread) -> None:
        if not self._stopping:
            self._dead = thread
            self._died.set()

    def _on_decision(self, decision: Decision) -> None:
        self._tally.decided(decision)
        self._tally.counts(self.controller.switches)

    def _log_start(self) -> None:
        start = self.start_choice
        _log.info("Listening on %s", ", ".join(self._urls))
        _log.info("Starting on %s: %s", start.engine, start.reason)
        if not self.adapting:
            _log.info("Not adapting to the load")
        elif self._tls is not None:
            _log.info("Adapting to the load; live TLS connections do not move")
        elif not self._options.migrate:
            _log.info("Adapting to the load; live connections do not move")
        else:
            _log.info("Adapting to the load; live connections move with the engine")

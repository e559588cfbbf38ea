"""A side: one loop thread of the server, and the host server on it.

A side is opened and closed on the control loop.  However either ends, by an error or
because it is cancelled, a side that is not open leaves nothing: no thread, no socket,
and no application whose startup ran and whose shutdown did not.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from aioadapt import LoopStoppedError, LoopThread
from aioadapt.control.sample import Engine

from .application import Application
from .host_server import HostServer, make_host_server
from .listening import Listening
from .options import Options

_log = logging.getLogger("aioadapt")

# On top of the time a host server takes to stop, in case a callback blocks its loop.
STOPS_WITHIN_S = 5.0


class Side:
    """One loop thread and the host server on it."""

    def __init__(self, engine: Engine, options: Options) -> None:
        self.thread = LoopThread(engine, name=f"aioadapt-{engine}")
        self._options = options
        self._host_server: HostServer | None = None  # None: it has not started
        # Closed by the host server, unless its thread dies.
        self._sockets: list[socket.socket] = []
        # Done once the loop has stopped.  Kept, as nothing else keeps its task.
        self._life: asyncio.Future[None] | None = None

    async def open(
        self,
        application: Application,
        tls: ssl.SSLContext | None,
        listening: Listening,
        *,
        accepting: bool,
        on_end: Callable[[LoopThread], None],
    ) -> None:
        """Start the thread and the host server on it.

        Args:
            accepting: False: the listeners are paused.
            on_end: called with the thread when its loop ends, for whatever reason.

        Raises:
            ServeError: the application cannot be served.
            OSError: there is no descriptor for a listening socket.
        """
        # Blocks for some milliseconds: a start cannot be cancelled half-way.
        self.thread.start()
        try:
            self._sockets = listening.duplicates()
            starting = self.thread.submit(
                self._start_host_server(application, tls, accepting=accepting)
            )
            try:
                self._host_server = await asyncio.wrap_future(starting)
            except asyncio.CancelledError:
                if starting.done() and not starting.cancelled():
                    # It has started nevertheless, and is stopped like any other.
                    self._host_server = starting.result()
                raise
            self._life = asyncio.wrap_future(self.thread.submit(_forever()))
        except BaseException:
            await self.close()
            raise

        def ended(life: "asyncio.Future[None]") -> None:
            if not life.cancelled():
                life.exception()  # retrieved: it only says that the loop has stopped
            on_end(self.thread)

        self._life.add_done_callback(ended)

    async def _start_host_server(
        self,
        application: Application,
        tls: ssl.SSLContext | None,
        *,
        accepting: bool,
    ) -> HostServer:
        """Runs on the side's own loop."""
        host_server = await make_host_server(application, self._options, tls)
        await host_server.start(self._sockets)
        if not accepting:
            loop: Any = asyncio.get_running_loop()
            for listener in loop.listeners.values():
                listener.pause()
        return host_server

    async def close(self, *, graceful: bool = True) -> None:
        """Stop the host server, the application and the thread.

        If it is cancelled, it goes on as if not *graceful*, and raises CancelledError
        once the thread has ended.

        Args:
            graceful: False: cancel requests and the application now.
        """
        try:
            if graceful and self._host_server is not None and self.thread.running:
                await self._stop_host_server(self._host_server)
        finally:
            try:
                # Asked first: if the waiting is cancelled, it ends nevertheless.
                with contextlib.suppress(TimeoutError):
                    self.thread.stop(0.0)
                await asyncio.to_thread(self._join)
            finally:
                self._close_sockets()

    def end(self) -> None:
        """The same as ``close(graceful=False)``; blocks until the thread has ended."""
        self._join()
        self._close_sockets()

    def _join(self) -> None:
        try:
            self.thread.stop(STOPS_WITHIN_S)
        except TimeoutError as error:
            _log.error("%s", error)

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()

    async def _stop_host_server(self, host_server: HostServer) -> None:
        try:
            submitted = self.thread.submit(host_server.stop())
        except LoopStoppedError:
            return  # Its thread has died.
        stopping = asyncio.wrap_future(submitted)
        at_most_s = 2 * self._options.graceful_s + STOPS_WITHIN_S
        try:
            await asyncio.wait([stopping], timeout=at_most_s)
            if not stopping.done():
                _log.error("%r is blocked and did not stop in time", self.thread)
            elif not stopping.cancelled() and stopping.exception() is not None:
                _log.error(
                    "Stopping %r failed", self.thread, exc_info=stopping.exception()
                )
        finally:
            stopping.cancel()


async def _forever() -> None:
    await asyncio.Event().wait()

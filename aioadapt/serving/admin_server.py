"""AdminServer: few connections, none of them for long, also without descriptors.

The admin address belongs to a process that serves others, and anyone who can connect
could take that process's descriptors.  So a connection that does not complete a request
and its response in time is closed, there are never more than a few, and at that limit
the one that has been silent longest makes room for the next.  A process that has run
out of descriptors is when an administrator looks, so a few are kept in reserve.

uvicorn's protocol answers the requests; its server would leave all this to the loop.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from .reserve import Reserve

_log = logging.getLogger("aioadapt")

# More than a scraper, `aioadapt top`, a health check and a few people need.  A guess.
MOST_CONNECTIONS = 16

# For a request and its response, and for the pause between two: twice as long as
# `aioadapt top` waits for a response.
EXCHANGE_WITHIN_S = 10.0

# Silent for this long, a connection may be closed to make room.  A request arrives
# right after its connection, so a client that is at work is not taken for silent.
SILENT_S = 1.0

# How often to try again for a descriptor.  A guess.
RETRY_S = 0.1

_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
_NO_MEMORY = (errno.ENOBUFS, errno.ENOMEM)


class AdminServer:
    """Serves *app* on listening *sockets*, which it borrows, on the running loop."""

    def __init__(
        self, app: Any, sockets: Sequence[socket.socket], reserve: Reserve
    ) -> None:
        # No log settings: logging belongs to the process, and is configured already.
        self.config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self.config.load()
        self.server_state = ServerState()
        self.loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        self._reserve = reserve
        # When each connected, or completed its last response; oldest first.
        self._silent_since: dict[_Connection, float] = {}
        self._connecting: dict[asyncio.Task[None], socket.socket] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._filling: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self) -> None:
        """Accept connections from now on."""
        for sock in self._sockets:
            sock.setblocking(False)
        self._fill_reserve()
        self._resume()

    async def stop(self) -> None:
        """Accept no more, and end the connections."""
        self.close()
        for connection in list(self._silent_since):
            connection.shutdown()
        for _ in range(100):
            if not (self._silent_since or self._connecting):
                return
            await asyncio.sleep(0.01)
        # Those that do not read their response.
        for connection in list(self._silent_since):
            connection.abort()
        await asyncio.sleep(0)

    def close(self) -> None:
        """The part of :meth:`stop` that does not wait for connections."""
        if self._stopped:
            return
        self._stopped = True
        self._stop_reading()
        for timer in (self._pause, self._filling):
            if timer is not None:
                timer.cancel()
        for task in self._connecting:
            task.cancel()
        self._reserve.close()

    # -- accepting

    def _resume(self) -> None:
        if self._stopped:
            return
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        for sock in self._sockets:
            self.loop.add_reader(sock, self._accept, sock)

    def _stop_reading(self) -> None:
        for sock in self._sockets:
            self.loop.remove_reader(sock)

    def _pause_for(self, seconds: float) -> None:
        """What waits in the backlog keeps the sockets readable."""
        self._stop_reading()
        self._pause = self.loop.call_later(seconds, self._resume)

    def _accept(self, listener: socket.socket) -> None:
        """One connection; the loop calls again if more are waiting."""
        if self._pause is not None:
            return  # Both sockets were readable, and the other one paused.
        if len(self._silent_since) >= MOST_CONNECTIONS:
            wait_s = self._make_room()
            if wait_s > 0:
                self._pause_for(wait_s)
                return
        try:
            sock = self._accept_one(listener)
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                self._make_room()
            elif error.errno not in _NO_MEMORY:
                return  # Only this connection: it has ended already, see accept(2).
            self._pause_for(RETRY_S)
            return
        sock.setblocking(False)
        connection = _Connection(self)
        self.heard_from(connection)
        task = self.loop.create_task(self._connect(connection, sock))
        self._connecting[task] = sock
        task.add_done_callback(self._connected)

    def _accept_one(self, listener: socket.socket) -> socket.socket:
        try:
            return listener.accept()[0]
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR or not self._reserve.free_one():
                raise
        try:
            return listener.accept()[0]
        finally:
            self._fill_reserve()

    async def _connect(self, connection: "_Connection", sock: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: connection, sock)
        except OSError as error:
            sock.close()
            self.lost(connection)
            _log.debug("An admin connection failed: %s", error)

    def _connected(self, task: asyncio.Task[None]) -> None:
        sock = self._connecting.pop(task)
        if task.cancelled():  # perhaps before it ran at all
            sock.close()

    def _make_room(self) -> float:
        """Close the connection that has been silent longest.

        Returns:
            0, or the seconds until there is one that has been silent long enough.
        """
        if not self._silent_since:
            return RETRY_S
        connection, since = next(iter(self._silent_since.items()))
        silent_s = self.loop.time() - since
        if silent_s < SILENT_S:
            return SILENT_S - silent_s
        del self._silent_since[connection]
        connection.abort()
        return 0.0

    def _fill_reserve(self) -> None:
        if self._filling is not None:
            self._filling.cancel()
            self._filling = None
        if not self._stopped and not self._reserve.fill():
            self._filling = self.loop.call_later(RETRY_S, self._fill_reserve)

    # -- connections

    def heard_from(self, connection: "_Connection") -> None:
        """It was accepted, or a response is complete."""
        self._silent_since.pop(connection, None)
        self._silent_since[connection] = self.loop.time()

    def lost(self, connection: "_Connection") -> None:
        self._silent_since.pop(connection, None)
        if self._stopped:
            return
        # Its descriptor is closed after this call.
        self.loop.call_soon(self._fill_reserve)
        if self._pause is not None:
            self.loop.call_soon(self._resume)


class _Connection(H11Protocol):
    """Closes itself if a request and its response take too long."""

    def __init__(self, server: AdminServer) -> None:
        super().__init__(
            config=server.config,
            server_state=server.server_state,
            app_state={},
            _loop=server.loop,
        )
        # Not in the application's access log.
        self.access_log = False
        self._server = server
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_limit()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._start_limit()
        self._server.heard_from(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._limit is not None:
            self._limit.cancel()
        self._server.lost(self)

    def shutdown(self) -> None:
        if self.transport is not None:
            super().shutdown()
        else:  # accepted, and its connecting is cancelled
            self._server.lost(self)

    def abort(self) -> None:
        if self.transport is not None:  # else it is not connected yet
            self.transport.abort()

    def _start_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = self.loop.call_later(EXCHANGE_WITHIN_S, self.abort)

"""Migrator: which connections to move, and the results."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from aioadapt.errors import LoopStoppedError

from . import reasons
from .batch import MigrationBatch
from .connection import Connection, ServingThread
from .move import Move
from .pace import Pace
from .report import DrainReport, MigratorStats, MoveResult, Tally, report_of, result_of


class Migrator:
    """Moves live connections between the loops of two threads.

    Its methods may be awaited on any running loop, including either of the two.
    Any number of calls may run at the same time: a connection that one of them is
    moving is busy for the others.
    """

    def __init__(self, *, max_in_flight: int | None = None) -> None:
        """
        Args:
            max_in_flight: how many connections of one drain may be between the
                loops at the same time.  A higher number makes the drain shorter
                and each connection's pause longer.  None: a few, and more if the
                drain would otherwise take too long.
        """
        if max_in_flight is not None and max_in_flight < 1:
            raise ValueError(f"max_in_flight must be at least 1, not {max_in_flight}")
        self._max_in_flight = max_in_flight
        self._tally = Tally()

    async def move(
        self, connection: Connection, *, to: ServingThread, quiet_for_s: float = 0.0
    ) -> MoveResult:
        """Move one idle HTTP/1 connection to another loop, if it is idle now.

        The peer cannot tell: the socket stays the same, and bytes that arrive
        during the move are delivered to the new protocol in order.  The application
        can: its old protocol gets ``connection_lost(None)``, and *to* creates a new
        one.  A busy connection is a result, not an error, and this does not wait
        until it is idle.  For many connections, :meth:`drain` costs less.

        Args:
            connection: one of :attr:`LoopThread.connections`.
            to: the thread to move it to.  The one it is on is allowed; then
                nothing happens.
            quiet_for_s: how many seconds ago its last byte must have been, in
                either direction.

        Returns:
            Whether it was moved and, if not, why.  If this call is cancelled, the
            connection stays where it is, unless it had already been released: then
            the move completes.

        Raises:
            LoopStoppedError: *to* has stopped.  The connection is unharmed; if it
                had been released when *to* stopped, its own loop took it back.

        An io_uring loop can release a connection only after the last completion of
        each of its operations: io_uring_cancelation(7), "Race conditions".
        """
        source = connection.thread
        if source is to:
            return self._left(reasons.ALREADY_THERE)
        _check(to)
        try:
            moves = await self._run_batch(
                source, to, lambda: [connection], quiet_for_s=quiet_for_s
            )
        except LoopStoppedError:
            return self._left(reasons.SOURCE_STOPPED)
        (move,) = moves
        if move.reason == reasons.TARGET_STOPPED:
            raise LoopStoppedError(
                f"{to!r} has stopped; {connection!r} stays on its own loop"
            )
        return result_of(move)

    async def drain(
        self,
        source: ServingThread,
        *,
        to: ServingThread,
        limit: int | None = None,
        timeout_s: float = 5.0,
    ) -> DrainReport:
        """Move the connections of one loop to another, each when it is idle.

        Each one moves at its next quiet moment: between a response and the next
        request.  Those without one before the timeout stay, and so do those that
        can never be moved (TLS, upgraded, not HTTP/1).  Connections that *source*
        accepts meanwhile are not included.

        A refusal by *to* ends the drain: the refused connections return to
        *source*, and the remaining ones stay there.

        Args:
            source: the thread whose connections are moved.
            to: the thread to move them to.
            limit: how many to try at most, those that are quiet now first.
            timeout_s: after this many seconds, those that are still busy stay.  It
                is not a limit on this call: connections released by then still
                complete their moves, and a blocked loop responds late.

        Returns:
            How many were moved, and why the others were not.  If this call is
            cancelled, connections that have not been released stay.

        Raises:
            LoopStoppedError: *to* or *source* had stopped before it began.  If
                *to* stops later, the report says so, and the connections return.
        """

        asked_at_s = time.monotonic()

        def choose() -> list[Connection]:
            connections = source.connections
            if limit is not None:
                connections.sort(key=_quiet_first)
                del connections[limit:]
            return connections

        if limit is not None and limit < 0:
            raise ValueError(f"limit must not be negative, not {limit}")
        if source is to:
            there = len(choose())
            self._tally.add_left(reasons.ALREADY_THERE, there)
            left = {reasons.ALREADY_THERE: there} if there else {}
            return DrainReport(moved=0, returned=0, left=left, pauses_s=())
        _check(to)
        moves = await self._run_batch(source, to, choose, timeout_s=timeout_s)
        return report_of(moves, asked_at_s=asked_at_s)

    @property
    def stats(self) -> MigratorStats:
        """The totals of all its moves so far; from any thread."""
        return self._tally.snapshot()

    def _left(self, reason: str) -> MoveResult:
        self._tally.add_left(reason)
        return MoveResult(moved=False, reason=reason, pause_s=0.0, carried_bytes=0)

    async def _run_batch(
        self,
        source: ServingThread,
        target: ServingThread,
        choose: Callable[[], list[Connection]],
        *,
        quiet_for_s: float = 0.0,
        timeout_s: float | None = None,
    ) -> list[Move]:
        """*timeout_s* None: try now, without waiting for a quiet moment."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def set_done() -> None:
            if not done.done():
                done.set_result(None)

        def on_done() -> None:
            # The caller's loop may be closed by now; then nothing is waiting.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(set_done)

        direction = f"{source.engine}>{target.engine}"
        batch = MigrationBatch(
            source,
            target,
            pace=Pace()
            if self._max_in_flight is None
            else Pace(self._max_in_flight, self._max_in_flight),
            patient=timeout_s is not None,
            on_finished=lambda moves: self._tally.add(direction, moves),
            on_done=on_done,
        )
        batch.start(choose, quiet_for_s=quiet_for_s)
        try:
            await asyncio.wait([done], timeout=timeout_s)
            if not done.done():
                batch.cancel()
                await done
        except asyncio.CancelledError:
            batch.cancel(reasons.CANCELLED)
            raise
        if batch.error is not None:
            raise batch.error
        return batch.moves


def _check(target: ServingThread) -> None:
    if not target.running:
        raise LoopStoppedError(f"cannot move connections to {target!r}")


def _quiet_first(connection: Connection) -> tuple[bool, bool]:
    return connection._stream.opaque, not connection.quiet

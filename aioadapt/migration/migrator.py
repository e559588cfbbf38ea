"""Which connections to move, how many at once, and what came of it."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aioadapt.errors import LoopStoppedError

from . import reasons
from .batch import MigrationBatch
from .connection import Connection
from .move import Move
from .pace import Pace
from .report import DrainReport, MigratorStats, MoveResult, Tally, report_of, result_of

if TYPE_CHECKING:
    from aioadapt.loop_thread import LoopThread


class Migrator:
    """Moves live connections between the loops of two threads.

    Its methods may be awaited on any running loop, one of the two included.
    Any number of them may run at the same time: a connection that one of them
    has is answered to the others as busy.
    """

    def __init__(self, *, max_in_flight: int | None = None) -> None:
        """
        Args:
            max_in_flight: how many connections of one drain may be on their way at
                the same time.  More of them make the drain shorter and each
                one's pause longer.  None: few, but more where a drain would
                take long otherwise.
        """
        if max_in_flight is not None and max_in_flight < 1:
            raise ValueError(f"max_in_flight must be at least 1, not {max_in_flight}")
        self._max_in_flight = max_in_flight
        self._tally = Tally()

    async def move(
        self, connection: Connection, *, to: "LoopThread", quiet_for_s: float = 0.0
    ) -> MoveResult:
        """Move one idle HTTP/1 connection to another loop, if it is idle now.

        The peer cannot tell: the socket stays the same, and bytes that arrive
        during the move are given to the new protocol in order.  The application
        can: its old protocol gets ``connection_lost(None)``, and *to* makes it a
        new one.  Finding the connection busy is an answer, not an error; nobody
        waits until it is not.  For many connections, :meth:`drain` costs less.

        Args:
            connection: one of :attr:`LoopThread.connections`.
            to: where it should live.  The loop it is on already is allowed and
                does nothing.
            quiet_for_s: seconds since its last byte, in either direction.

        Returns:
            Whether it was moved and, if it was not, why.  Cancelled, it stays
            where it is, unless it had been let go: then it arrives all the same.

        Raises:
            LoopStoppedError: *to* has stopped.  The connection is unharmed; if
                it had been let go when *to* stopped, its own loop took it back.

        An io_uring loop can let go only once the kernel has answered for every
        operation: io_uring_cancelation(7), "Race conditions".
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
                f"{to!r} has stopped; {connection!r} is served where it was"
            )
        return result_of(move)

    async def drain(
        self,
        source: "LoopThread",
        *,
        to: "LoopThread",
        limit: int | None = None,
        timeout_s: float = 5.0,
    ) -> DrainReport:
        """Move the connections of one loop to another, each when it is idle.

        Each one is taken at its next quiet moment: between an answer and the
        next request.  Those that have none until the time is over stay, and so
        do those that can never be moved (TLS, upgraded, not HTTP/1).  New
        connections that *source* accepts meanwhile are not asked.

        A refusal by *to* ends the drain: what it refused goes back to *source*,
        the others are not touched.

        Args:
            source: whose connections.
            to: where they should live.
            limit: how many to ask at most, those that are quiet now first.
            timeout_s: seconds until those that are still busy are left alone.
                It is not a bound on the call: what has been let go by then
                still arrives, and a loop that is blocked answers late.

        Returns:
            How many were moved, and why the others were not.  Cancelled, it
            leaves alone what has not been let go.

        Raises:
            LoopStoppedError: *to* or *source* had stopped before it began.
                *to* stopping later is counted, and its connections go back.
        """

        asked_at_s = time.monotonic()

        def choose() -> list[Connection]:
            connections = source.connections
            if limit is not None:
                connections.sort(key=_last_to_ask)
                del connections[limit:]
            return connections

        if limit is not None and limit < 0:
            raise ValueError(f"limit must not be negative, and is {limit}")
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
        """What all its moves came to until now; from any thread."""
        return self._tally.snapshot()

    def _left(self, reason: str) -> MoveResult:
        self._tally.add_left(reason)
        return MoveResult(moved=False, reason=reason, pause_s=0.0, carried_bytes=0)

    async def _run_batch(
        self,
        source: "LoopThread",
        target: "LoopThread",
        choose: Callable[[], list[Connection]],
        *,
        quiet_for_s: float = 0.0,
        timeout_s: float | None = None,
    ) -> list[Move]:
        """*timeout_s* None: try now, and do not wait for a quiet moment."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def set_done() -> None:
            if not done.done():
                done.set_result(None)

        def on_done() -> None:
            # The asker's loop may be closed by now: then nobody waits.
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


def _check(target: "LoopThread") -> None:
    if not target.running:
        raise LoopStoppedError(f"no connection can be moved to {target!r}")


def _last_to_ask(connection: Connection) -> tuple[bool, bool]:
    return connection._stream.opaque, not connection.quiet

"""A migration batch: many moves from one loop thread to another, sharing wake-ups.

    caller's thread     source's thread                 target's thread

    StartMigration ---> release() on each stream
                        quiet, settled, released
                        TransferBatch ----------------> adopt each one
                        <------------------------------ SlotsFreed, if some wait
                        <------------------------------ ReturnBatch, if some are refused
    <------------------ on_done: once, on the thread that finishes the last move

Under the GIL, a thread that is woken may wait a whole switch interval before it
runs, so nothing here posts one message per connection.  A transfer batch stays open
until the target takes it: what the source releases meanwhile is added to the same
message.

No loop serves a released connection until the target has run, and each adoption
creates a protocol.  If all connections were released together, the last would wait
for all the others.  So only as many as pace.py allows are in flight at a time, and
the source continues to serve the rest until a slot is free.

Whatever stops or closes, each move finishes exactly once, because the inboxes answer
for every accepted message: it is delivered or refused.  A loop that is stopping still
runs, so that its tasks can end; messages delivered to it then count as refused.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aioadapt.errors import LoopStoppedError

from . import reasons
from .messages import (
    CancelBusy,
    CancelMigration,
    ReturnBatch,
    SlotsFreed,
    StartMigration,
    TransferBatch,
)
from .move import Move
from .pace import Pace
from .phase import Phase

if TYPE_CHECKING:
    from aioadapt.loop_thread import LoopThread

    from .connection import Connection


class MigrationBatch:
    """The moves of one ``move()`` or one ``drain()``."""

    def __init__(
        self,
        source: "LoopThread",
        target: "LoopThread",
        *,
        pace: Pace,
        patient: bool,
        on_finished: Callable[[list[Move]], None],
        on_done: Callable[[], None],
    ) -> None:
        self.source = source
        self.target = target
        self.error: BaseException | None = None
        self.moves: list[Move] = []
        # A patient batch waits for each connection's next quiet moment.
        self._patient = patient
        self._on_finished = on_finished
        self._on_done = on_done
        self._cancelled_for = ""

        # On the source's thread only: moves that can still be cancelled.
        self._cancellable: dict[Move, None] = {}
        self._transfer: TransferBatch | None = None

        # Guards everything below, and the contents of each TransferBatch.
        self.lock = threading.Lock()
        self._pace = pace
        self._is_done = False
        self._unfinished = 0
        self._in_flight = 0  # admitted and not finished
        self._was_full = False  # some moves wait for a slot

    # -- The caller's side, on any thread.

    def start(
        self, choose: Callable[[], "list[Connection]"], *, quiet_for_s: float = 0.0
    ) -> None:
        """Have the source start moving the connections that *choose* returns there.

        Raises:
            LoopStoppedError: the source has stopped.
        """
        self.source.loop.post(StartMigration(self, choose, quiet_for_s))

    def cancel(self, reason: str = "") -> None:
        """Cancel every pending release; moves already released continue.

        Args:
            reason: recorded for the cancelled moves; by default, why each stream is
                not quiet.
        """
        self._cancelled_for = reason or reasons.OUT_OF_TIME
        # A stopping source cancels its pending releases itself: see source_stops.
        with contextlib.suppress(LoopStoppedError):
            self.source.loop.post(CancelMigration(self, reason))

    # -- On the source's thread.

    def start_moves(self, connections: "list[Connection]", quiet_for_s: float) -> None:
        self.source.stop_callbacks.add(self.source_stops)
        self.moves = [Move(connection, self) for connection in connections]
        self._unfinished = len(self.moves)
        refused: list[Move] = []
        waiting: list[Move] = []
        for move in self.moves:
            reason = self._why_not_now(move, quiet_for_s)
            if reason:
                move.finish(reason)
                refused.append(move)
            else:
                move.begin()
                waiting.append(move)
        self._cancellable = dict.fromkeys(waiting)
        if not self.moves:
            self._done()
        self.finished(refused)
        for move in waiting:
            move.stream.release(move, immediately=not self._patient)
        if waiting and not self._patient:
            # Streams that were quiet are not read any more; the others are busy.
            self.source.loop.post(CancelBusy(self))

    def _why_not_now(self, move: Move, quiet_for_s: float) -> str:
        """Why it is not even tried; "" if it is."""
        connection, stream = move.connection, move.stream
        if self._cancelled_for:
            return self._cancelled_for
        if not self.target.running:
            return reasons.TARGET_STOPPED
        if connection._move is not None or connection.thread is not self.source:
            return reasons.UNDER_WAY
        if stream.closed:
            return reasons.CLOSED
        if stream.opaque or not (self._patient or stream.quiet):
            return stream.why_not_quiet or reasons.OUT_OF_TIME
        if self.source.loop.time() - stream.last_byte_at < quiet_for_s:
            return reasons.RECENTLY_ACTIVE
        # An early check, so that the source's server does not lose its protocol for
        # nothing.  The target checks again when it adopts.
        if self.target.loop.serving_on(stream.sockname) is None:
            return reasons.NO_SERVER
        return ""

    def admit(self, move: Move) -> bool:
        """Whether there is a free slot for it; if so, it is taken."""
        with self.lock:
            has_slot = self._in_flight < self._pace.max_in_flight
            if has_slot:
                self._pace.begins(time.monotonic())
                self._in_flight += 1
                move.is_in_flight = True
            else:
                self._was_full = True
            return has_slot

    def became_active(self, move: Move) -> None:
        if self._patient:
            self._free_slots([move])
        else:
            del self._cancellable[move]
            move.cancel(reasons.BECAME_ACTIVE)
            self.finished([move])

    def finished_at_source(self, move: Move) -> None:
        """The connection ended before it was released."""
        del self._cancellable[move]
        self.finished([move])

    def transfer(self, move: Move) -> None:
        """The connection was released: send its DetachedSocket to the target."""
        del self._cancellable[move]
        # No loop serves it until the target's thread has run.
        self.source.loop.yield_to(self.target.loop)
        if self._transfer is not None and self._transfer.add(move):
            return
        self._transfer = TransferBatch(self, move)
        try:
            self.target.loop.post(self._transfer)
        except LoopStoppedError:
            self.return_to_source(self._transfer.close(), reasons.TARGET_STOPPED)

    def cancel_moves(self, reason: str, moves: list[Move] | None = None) -> None:
        """Cancel *moves*, or all, that have not been released."""
        cancelled = list(self._cancellable if moves is None else moves)
        for move in cancelled:
            del self._cancellable[move]
            move.cancel(reason or move.stream.why_not_quiet or reasons.OUT_OF_TIME)
        self.finished(cancelled)

    def cancel_busy(self) -> None:
        self.cancel_moves(
            "", [m for m in self._cancellable if m.phase is Phase.SERVING]
        )

    def source_stops(self) -> None:
        """The source is stopping: cancel while its streams still exist."""
        self.cancel_moves(reasons.SOURCE_STOPPED)

    # -- On the thread on which a message is delivered or refused.

    def return_to_source(self, moves: list[Move], reason: str) -> None:
        """The target did not adopt them: send them back to the source."""
        returned = ReturnBatch(self, moves, reason)
        try:
            self.source.loop.post(returned)
        except LoopStoppedError:
            returned.refuse()

    def fail(self, error: BaseException) -> None:
        """The batch could not start."""
        self.error = error
        self._done()

    def finished(self, moves: list[Move]) -> None:
        """*moves* have finished, each with its result."""
        if not moves:
            return
        self._on_finished(moves)
        with self.lock:
            self._unfinished -= len(moves)
            self._pace.finished(self._unfinished, time.monotonic())
            done = self._unfinished == 0
        if done:
            self._done()
        else:
            self._free_slots(moves)

    def _free_slots(self, moves: list[Move]) -> None:
        with self.lock:
            for move in moves:
                self._in_flight -= move.is_in_flight
                move.is_in_flight = False
            refill = self._was_full and self._in_flight < self._pace.max_in_flight
            if refill:
                self._was_full = False
        if refill:
            with contextlib.suppress(LoopStoppedError):
                self.source.loop.post(SlotsFreed(self))

    def _done(self) -> None:
        with self.lock:
            was_done, self._is_done = self._is_done, True
        if was_done:
            return
        self.source.stop_callbacks.discard(self.source_stops)
        self._on_done()

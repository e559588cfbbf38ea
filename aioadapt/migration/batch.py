"""Many moves from one loop thread to another, sharing their wake-ups.

    asker's thread    source's thread              target's thread
    StartMigration ------> leave() on each stream
                      stopped, rested, released
                      TransferBatch ---------------------> adopt each one
                      <---------------- SlotsFreed       (only if some are held back)
                      <---------------- ReturnBatch (only what was refused)
    <----------------------- on_done, once: whichever thread settles the last

Under the GIL a thread that is woken may wait a whole switch interval until it
runs, so nothing here posts once per connection.  A transfer batch stays open until the
target takes it: whatever the source releases meanwhile travels in the same
message.

A released connection is served by nobody until the target has run, and each
adoption costs a protocol: were all of them released at once, the last would
wait for all the others.  So only so many are between the loops as pace.py
allows, and the rest go on being served until there is room.

Whatever stops or closes, each move is settled once, and by a thread that is
told so by an inbox: every accepted message is delivered or refused.  A loop
that is stopping still turns, so that its tasks can end; what is delivered to
it then is as good as refused.
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
        # A patient one waits for each connection's next quiet moment.
        self._patient = patient
        self._on_finished = on_finished
        self._on_done = on_done
        self._cancelled_for = ""

        # On the source's thread only: what can still be withdrawn.
        self._cancellable: dict[Move, None] = {}
        self._transfer: TransferBatch | None = None

        # Guards what is below, and each TransferBatch's contents.
        self.lock = threading.Lock()
        self._pace = pace
        self._is_done = False
        self._unfinished = 0
        self._between_loops = 0
        self._was_full = False  # somebody is held back

    # -- The asker's side, on any thread.

    def start(
        self, choose: Callable[[], "list[Connection]"], *, quiet_for_s: float = 0.0
    ) -> None:
        """Have the source begin with what *choose* picks there.

        Raises:
            LoopStoppedError: the source has stopped.
        """
        self.source.loop.post(StartMigration(self, choose, quiet_for_s))

    def cancel(self, reason: str = "") -> None:
        """Withdraw every wish; what has been released goes on to its end.

        Args:
            reason: of those withdrawn; without one, each stream's own.
        """
        self._cancelled_for = reason or reasons.OUT_OF_TIME
        # A stopping source settles its wishes by itself: source_stops.
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
            reason = self._objection(move, quiet_for_s)
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
            # What was quiet has stopped by now; the others are busy.
            self.source.loop.post(CancelBusy(self))

    def _objection(self, move: Move, quiet_for_s: float) -> str:
        """Why it needs not be tried; "" if it may be."""
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
        # An early look, so that a server does not lose its protocol for
        # nothing; the target looks again when it adopts.
        if self.target.loop.serving_on(stream.sockname) is None:
            return reasons.NO_SERVER
        return ""

    def admit(self, move: Move) -> bool:
        """Whether there is room for it between the loops."""
        with self.lock:
            room = self._between_loops < self._pace.max_in_flight
            if room:
                self._pace.begins(time.monotonic())
                self._between_loops += 1
                move.between_loops = True
            else:
                self._was_full = True
            return room

    def became_active(self, move: Move) -> None:
        if self._patient:
            self._make_room([move])
        else:
            del self._cancellable[move]
            move.cancel(reasons.BECAME_ACTIVE)
            self.finished([move])

    def finished_at_source(self, move: Move) -> None:
        """It ended before it was released."""
        del self._cancellable[move]
        self.finished([move])

    def transfer(self, move: Move) -> None:
        """It has been released: its DetachedSocket goes to the target."""
        del self._cancellable[move]
        # Nobody serves it until the target's thread has run.
        self.source.loop.yield_to(self.target.loop)
        if self._transfer is not None and self._transfer.add(move):
            return
        self._transfer = TransferBatch(self, move)
        try:
            self.target.loop.post(self._transfer)
        except LoopStoppedError:
            self.return_to_source(self._transfer.close(), reasons.TARGET_STOPPED)

    def cancel_moves(self, reason: str, moves: list[Move] | None = None) -> None:
        """Of the wishes, or *moves* of them, whatever has not been released."""
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
        """Its streams are still there, and nobody else will tell them."""
        self.cancel_moves(reasons.SOURCE_STOPPED)

    # -- On the thread that a message is delivered on, or refused on.

    def return_to_source(self, moves: list[Move], reason: str) -> None:
        """The target has not taken them: the source takes them back."""
        returned = ReturnBatch(self, moves, reason)
        try:
            self.source.loop.post(returned)
        except LoopStoppedError:
            returned.refuse()

    def fail(self, error: BaseException) -> None:
        """It could not even begin."""
        self.error = error
        self._done()

    def finished(self, moves: list[Move]) -> None:
        """Every one of *moves* has its answer."""
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
            self._make_room(moves)

    def _make_room(self, moves: list[Move]) -> None:
        with self.lock:
            for move in moves:
                self._between_loops -= move.between_loops
                move.between_loops = False
            fill = self._was_full and self._between_loops < self._pace.max_in_flight
            if fill:
                self._was_full = False
        if fill:
            with contextlib.suppress(LoopStoppedError):
                self.source.loop.post(SlotsFreed(self))

    def _done(self) -> None:
        with self.lock:
            was_done, self._is_done = self._is_done, True
        if was_done:
            return
        self.source.stop_callbacks.discard(self.source_stops)
        self._on_done()

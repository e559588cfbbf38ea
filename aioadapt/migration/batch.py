"""A migration batch: many moves from one loop thread to another, sharing wake-ups.

    caller's thread     source's thread                 target's thread

    start ------------> release() on each stream
                        quiet, settled, released
                        Transfer ---------------------> adopt each one
                        <------------------------------ free slots, if some wait
                        <------------------------------ those refused, if there are
    <------------------ on_done: once, on the thread that finishes the last move

Under the GIL, a thread that is woken may wait a whole switch interval before it
runs, so nothing here posts one message per connection.  A transfer stays open until
the target takes it: what the source releases meanwhile is added to the same message.

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
from functools import partial

from aioadapt.errors import LoopStoppedError

from . import reasons
from .adopt import RefusedError
from .connection import Connection, ServingThread
from .messages import Call, Transfer, nothing
from .move import Move
from .pace import Pace
from .phase import Phase


class MigrationBatch:
    """The moves of one ``move()`` or one ``drain()``."""

    def __init__(
        self,
        source: ServingThread,
        target: ServingThread,
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
        self._transfer: Transfer | None = None

        # Guards everything below, and the contents of each Transfer.
        self.lock = threading.Lock()
        self._pace = pace
        self._is_done = False
        self._unfinished = 0
        self._in_flight = 0  # admitted and not finished
        self._was_full = False  # some moves wait for a slot

    # -- The caller's side, on any thread.

    def start(
        self, choose: Callable[[], list[Connection]], *, quiet_for_s: float = 0.0
    ) -> None:
        """Have the source start moving the connections that *choose* returns there.

        Raises:
            LoopStoppedError: the source has stopped.
        """
        self.source.loop.post(
            Call(
                self.source,
                partial(self._start, choose, quiet_for_s),
                refused=self._cannot_start,
            )
        )

    def cancel(self, reason: str = "") -> None:
        """Cancel every pending release; moves already released continue.

        Args:
            reason: recorded for the cancelled moves; by default, why each stream is
                not quiet.
        """
        self._cancelled_for = reason or reasons.OUT_OF_TIME
        # A stopping source cancels its pending releases itself: see source_stops.
        with contextlib.suppress(LoopStoppedError):
            self.source.loop.post(
                Call(self.source, partial(self._cancel_moves, reason))
            )

    # -- On the source's thread.

    def _start(
        self, choose: Callable[[], list[Connection]], quiet_for_s: float
    ) -> None:
        try:
            self._start_moves(choose(), quiet_for_s)
        except BaseException as error:
            # The caller, who is waiting, must get it too.
            self._fail(error)
            raise

    def _cannot_start(self) -> None:
        self._fail(LoopStoppedError(f"{self.source!r} stopped before a move began"))

    def _start_moves(self, connections: list[Connection], quiet_for_s: float) -> None:
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
        self._finished(refused)
        for move in waiting:
            move.stream.release(move, immediately=not self._patient)
        if waiting and not self._patient:
            # Streams that were quiet are not read any more; the others are busy.
            self.source.loop.post(Call(self.source, self._cancel_busy))

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
            self._finished([move])

    def finished_at_source(self, move: Move) -> None:
        """The connection ended before it was released."""
        del self._cancellable[move]
        self._finished([move])

    def transfer(self, move: Move) -> None:
        """The connection was released: send its DetachedSocket to the target."""
        del self._cancellable[move]
        # No loop serves it until the target's thread has run.
        self.source.loop.yield_to(self.target.loop)
        if self._transfer is not None and self._transfer.add(move):
            return
        transfer = self._transfer = Transfer(self.lock, move)
        message = Call(
            self.target,
            partial(self._deliver, transfer),
            refused=partial(self._refuse, transfer),
        )
        try:
            self.target.loop.post(message)
        except LoopStoppedError:
            self._refuse(transfer)

    def _cancel_moves(self, reason: str, moves: list[Move] | None = None) -> None:
        """Cancel *moves*, or all, that have not been released."""
        cancelled = list(self._cancellable if moves is None else moves)
        for move in cancelled:
            del self._cancellable[move]
            move.cancel(reason or move.stream.why_not_quiet or reasons.OUT_OF_TIME)
        self._finished(cancelled)

    def _cancel_busy(self) -> None:
        self._cancel_moves(
            "", [m for m in self._cancellable if m.phase is Phase.SERVING]
        )

    def source_stops(self) -> None:
        """The source is stopping: cancel while its streams still exist."""
        self._cancel_moves(reasons.SOURCE_STOPPED)

    # -- On the target's thread.

    def _deliver(self, transfer: Transfer) -> None:
        moves = transfer.take()
        adopted: list[Move] = []
        reason = reasons.FACTORY_FAILED
        try:
            for move in moves:
                try:
                    move.arrive()
                except RefusedError as refused:
                    reason = refused.reason
                else:
                    adopted.append(move)
        finally:
            # Also if an exception other than a refusal ended the loop above.
            refused_moves = [move for move in moves if not move.is_finished]
            if refused_moves:
                self._return_to_source(refused_moves, reason)
            self._finished(adopted)
            # The source has free slots now, and more to release.
            self.target.loop.yield_to(self.source.loop)

    # -- On the thread on which a message is delivered or refused.

    def _refuse(self, transfer: Transfer) -> None:
        self._return_to_source(transfer.take(), reasons.TARGET_STOPPED)

    def _return_to_source(self, moves: list[Move], reason: str) -> None:
        """The target did not adopt them: send them back to the source."""
        # If the source has stopped, too, no loop is left to serve them.
        close = partial(self._close, moves)
        message = Call(
            self.source, partial(self._take_back, moves, reason), refused=close
        )
        try:
            self.source.loop.post(message)
        except LoopStoppedError:
            close()

    def _take_back(self, moves: list[Move], reason: str) -> None:
        """On the source's thread."""
        try:
            for move in moves:
                move.take_back(reason)
        finally:
            # A target that refused once would refuse again, and each refusal costs a
            # server its protocol.
            self._cancel_moves(reason)
            self._close(moves)

    def _close(self, moves: list[Move]) -> None:
        """Close those that no loop has adopted."""
        for move in moves:
            if not move.is_finished:
                move.close()
        self._finished(moves)

    def _fail(self, error: BaseException) -> None:
        """The batch could not start."""
        self.error = error
        self._done()

    def _finished(self, moves: list[Move]) -> None:
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
                # It only has to run: when that iteration ends, the waiting streams
                # are tried.
                self.source.loop.post(Call(self.source, nothing))

    def _done(self) -> None:
        with self.lock:
            was_done, self._is_done = self._is_done, True
        if was_done:
            return
        self.source.stop_callbacks.discard(self.source_stops)
        self._on_done()

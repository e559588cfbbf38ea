"""The handoff messages of a migration batch, and what each does when delivered.

They are posted to a loop's inbox, which delivers or refuses each one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from aioadapt.errors import LoopStoppedError

from . import reasons
from .adopt import RefusedError
from .move import Move

if TYPE_CHECKING:
    from aioadapt.loop_thread import LoopThread

    from .batch import MigrationBatch
    from .connection import Connection


class HandoffMessage:
    """A message to the source or to the target of a batch."""

    def __init__(self, batch: "MigrationBatch", to: "LoopThread") -> None:
        self.batch = batch
        self._to = to

    def deliver(self) -> None:
        if self._to.running:
            self.process()
        else:
            self.refuse()

    def process(self) -> None:
        raise NotImplementedError

    def refuse(self) -> None:
        """Nothing to do: a stopping source cancels its releases; see source_stops."""


class StartMigration(HandoffMessage):
    """To the source: start the batch."""

    def __init__(
        self,
        batch: "MigrationBatch",
        choose: Callable[[], "list[Connection]"],
        quiet_for_s: float,
    ) -> None:
        super().__init__(batch, batch.source)
        self._choose = choose
        self._quiet_for_s = quiet_for_s

    def process(self) -> None:
        try:
            self.batch.start_moves(self._choose(), self._quiet_for_s)
        except BaseException as error:
            # The caller, who is waiting, must get it too.
            self.batch.fail(error)
            raise

    def refuse(self) -> None:
        self.batch.fail(LoopStoppedError(f"{self._to!r} stopped before a move began"))


class CancelMigration(HandoffMessage):
    """To the source: cancel the pending releases."""

    def __init__(self, batch: "MigrationBatch", reason: str) -> None:
        super().__init__(batch, batch.source)
        self._reason = reason

    def process(self) -> None:
        self.batch.cancel_moves(self._reason)


class CancelBusy(HandoffMessage):
    """To the source: cancel the releases of streams that are still being read."""

    def __init__(self, batch: "MigrationBatch") -> None:
        super().__init__(batch, batch.source)

    def process(self) -> None:
        self.batch.cancel_busy()


class SlotsFreed(HandoffMessage):
    """To the source: there are free slots again.

    It only has to run: when that iteration ends, the waiting streams are tried.
    """

    def __init__(self, batch: "MigrationBatch") -> None:
        super().__init__(batch, batch.source)

    def process(self) -> None:
        pass


class TransferBatch(HandoffMessage):
    """To the target: detached sockets; more can be added until it is delivered."""

    def __init__(self, batch: "MigrationBatch", first: Move) -> None:
        super().__init__(batch, batch.target)
        self._moves: list[Move] | None = [first]

    def add(self, move: Move) -> bool:
        """False if the target has taken the batch already."""
        with self.batch.lock:
            if self._moves is None:
                return False
            self._moves.append(move)
            return True

    def close(self) -> list[Move]:
        """Take the moves; nothing can be added any more."""
        with self.batch.lock:
            moves, self._moves = self._moves, None
        assert moves is not None, "a transfer batch was processed twice"
        return moves

    def process(self) -> None:
        moves = self.close()
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
                self.batch.return_to_source(refused_moves, reason)
            self.batch.finished(adopted)
            # The source has free slots now, and more to release.
            self._to.loop.yield_to(self.batch.source.loop)

    def refuse(self) -> None:
        self.batch.return_to_source(self.close(), reasons.TARGET_STOPPED)


class ReturnBatch(HandoffMessage):
    """To the source: the moves that the target refused."""

    def __init__(self, batch: "MigrationBatch", moves: list[Move], reason: str) -> None:
        super().__init__(batch, batch.source)
        self._moves = moves
        self._reason = reason

    def process(self) -> None:
        try:
            for move in self._moves:
                move.take_back(self._reason)
        finally:
            for move in self._moves:
                if not move.is_finished:
                    move.close()
            # A target that refused once would refuse again, and each refusal costs a
            # server its protocol.
            self.batch.cancel_moves(self._reason)
            self.batch.finished(self._moves)

    def refuse(self) -> None:
        """The source has stopped: no loop is left to serve them."""
        for move in self._moves:
            move.close()
        self.batch.finished(self._moves)

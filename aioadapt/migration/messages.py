"""What a batch posts to the inboxes of its two loops."""

import threading
from collections.abc import Callable

from .connection import ServingThread
from .move import Move


def nothing() -> None:
    """A stopping source cancels its own releases; see MigrationBatch.source_stops."""


class Call:
    """A message: one call on a thread of the batch, or another if it has stopped.

    Args:
        to: the thread.
        call: made on it while it is running.
        refused: made instead, on whatever thread refuses the message.
    """

    def __init__(
        self,
        to: ServingThread,
        call: Callable[[], None],
        *,
        refused: Callable[[], None] = nothing,
    ) -> None:
        self._to = to
        self._call = call
        self._refused = refused

    def deliver(self) -> None:
        if self._to.running:
            self._call()
        else:
            self._refused()

    def refuse(self) -> None:
        self._refused()


class Transfer:
    """The moves of one message to the target; more are added until it is delivered."""

    def __init__(self, lock: threading.Lock, first: Move) -> None:
        self._lock = lock
        self._moves: list[Move] | None = [first]

    def add(self, move: Move) -> bool:
        """False if they have been taken already."""
        with self._lock:
            if self._moves is None:
                return False
            self._moves.append(move)
            return True

    def take(self) -> list[Move]:
        """The moves, once; nothing can be added any more."""
        with self._lock:
            moves, self._moves = self._moves, None
        assert moves is not None, "a transfer was taken twice"
        return moves

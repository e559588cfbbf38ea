"""The messages of a crossing: what each of them does where it is opened.

They are posted to a loop's inbox, which delivers each one or refuses it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from aioadapt.errors import LoopStoppedError

from . import reasons
from .adopt import RefusedError
from .move import Move

if TYPE_CHECKING:
    from aioadapt.loop_thread import LoopThread

    from .connection import Connection
    from .crossing import Crossing


class Letter:
    """A message to the source or to the target of a crossing."""

    def __init__(self, crossing: "Crossing", to: "LoopThread") -> None:
        self.crossing = crossing
        self._to = to

    def deliver(self) -> None:
        if self._to.running:
            self.open()
        else:
            self.refuse()

    def open(self) -> None:
        raise NotImplementedError

    def refuse(self) -> None:
        """A stopping source settles its wishes itself: source_stops."""


class Departure(Letter):
    """To the source: begin."""

    def __init__(
        self,
        crossing: "Crossing",
        choose: Callable[[], "list[Connection]"],
        quiet_for_s: float,
    ) -> None:
        super().__init__(crossing, crossing.source)
        self._choose = choose
        self._quiet_for_s = quiet_for_s

    def open(self) -> None:
        try:
            self.crossing.depart(self._choose(), self._quiet_for_s)
        except BaseException as error:
            # Whoever waits must hear of it too.
            self.crossing.fail(error)
            raise

    def refuse(self) -> None:
        self.crossing.fail(
            LoopStoppedError(f"{self._to!r} stopped before a move began")
        )


class CallOff(Letter):
    """To the source: withdraw the wishes."""

    def __init__(self, crossing: "Crossing", reason: str) -> None:
        super().__init__(crossing, crossing.source)
        self._reason = reason

    def open(self) -> None:
        self.crossing.withdraw(self._reason)


class NoPatience(Letter):
    """To the source: withdraw the wishes of those that have not stopped."""

    def __init__(self, crossing: "Crossing") -> None:
        super().__init__(crossing, crossing.source)

    def open(self) -> None:
        self.crossing.withdraw_busy()


class Room(Letter):
    """To the source: there is room between the loops again.

    It has only to turn: when that turn ends, those held back are asked.
    """

    def __init__(self, crossing: "Crossing") -> None:
        super().__init__(crossing, crossing.source)

    def open(self) -> None:
        pass


class Crate(Letter):
    """To the target: carries, and room for more until it is opened."""

    def __init__(self, crossing: "Crossing", first: Move) -> None:
        super().__init__(crossing, crossing.target)
        self._moves: list[Move] | None = [first]

    def add(self, move: Move) -> bool:
        """False if the target has opened it already."""
        with self.crossing.lock:
            if self._moves is None:
                return False
            self._moves.append(move)
            return True

    def close(self) -> list[Move]:
        """Nothing can be added any more."""
        with self.crossing.lock:
            moves, self._moves = self._moves, None
        assert moves is not None, "a crate was opened twice"
        return moves

    def open(self) -> None:
        moves = self.close()
        landed: list[Move] = []
        reason = reasons.FACTORY_FAILED
        try:
            for move in moves:
                try:
                    move.arrive()
                except RefusedError as refused:
                    reason = refused.reason
                else:
                    landed.append(move)
        finally:
            # Also where something worse than a refusal ended the loop above.
            refused_moves = [move for move in moves if not move.settled]
            if refused_moves:
                self.crossing.send_home(refused_moves, reason)
            self.crossing.settled(landed)
            # It has room now, and more to let go.
            self._to.loop.let_run(self.crossing.source.loop)

    def refuse(self) -> None:
        self.crossing.send_home(self.close(), reasons.TARGET_STOPPED)


class Homecoming(Letter):
    """To the source: what the target has refused."""

    def __init__(self, crossing: "Crossing", moves: list[Move], reason: str) -> None:
        super().__init__(crossing, crossing.source)
        self._moves = moves
        self._reason = reason

    def open(self) -> None:
        try:
            for move in self._moves:
                move.come_back(self._reason)
        finally:
            for move in self._moves:
                if not move.settled:
                    move.abandon()
            # What refused once would refuse again, and each refusal costs a
            # guest its protocol.
            self.crossing.withdraw(self._reason)
            self.crossing.settled(self._moves)

    def refuse(self) -> None:
        """Both loops have stopped."""
        for move in self._moves:
            move.abandon()
        self.crossing.settled(self._moves)

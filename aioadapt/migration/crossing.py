"""Many moves from one loop thread to another, sharing their wake-ups.

    asker's thread    source's thread              target's thread
    Departure ------> leave() on each stream
                      stopped, rested, released
                      Crate ---------------------> adopt each one
                      <------------------ Refill   (only if some are held back)
                      <---------------- Homecoming (only what was refused)
    <----------------------- on_done, once: whichever thread settles the last

Under the GIL a thread that is woken may wait a whole switch interval until it
runs, so nothing here posts once per connection.  A crate stays open until the
target takes it: whatever the source releases meanwhile travels in the same
message.

A released connection is served by nobody until the target has run, and each
adoption costs a protocol: were all of them released at once, the last would
wait for all the others.  So at most ``at_once`` are between the loops, and
the rest go on being served until there is room.

Whatever stops or closes, each move is settled once, and by a thread that is
told so by an inbox: every accepted message is delivered or refused.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..errors import LoopStoppedError
from . import reasons
from .adopt import Refused
from .move import Move
from .phase import Phase

if TYPE_CHECKING:
    from ..loop_thread import LoopThread
    from .connection import Connection


class Crossing:
    """The moves of one ``move()`` or one ``drain()``."""

    def __init__(
        self,
        source: "LoopThread",
        target: "LoopThread",
        *,
        at_once: int,
        patient: bool,
        on_settled: Callable[[list[Move]], None],
        on_done: Callable[[], None],
    ) -> None:
        self.source = source
        self.target = target
        self.error: BaseException | None = None
        self.moves: list[Move] = []
        self._at_once = at_once
        # A patient one waits for each connection's next quiet moment.
        self._patient = patient
        self._on_settled = on_settled
        self._on_done = on_done
        self._called_off = ""

        # On the source's thread only: what can still be withdrawn.
        self._wishes: dict[Move, None] = {}
        self._crate: _Crate | None = None

        # Guards what is below, and each crate's contents.
        self._lock = threading.Lock()
        self._finished = False
        self._unsettled = 0
        self._between_loops = 0
        self._held_back: deque[Move] = deque()

    # -- The asker's side, on any thread.

    def start(
        self, choose: Callable[[], "list[Connection]"], *, quiet_for_s: float = 0.0
    ) -> None:
        """Have the source begin with what *choose* picks there.

        Raises:
            LoopStoppedError: the source has stopped.
        """
        self.source.loop.post(_Departure(self, choose, quiet_for_s))

    def call_off(self, reason: str = "") -> None:
        """Withdraw every wish; what has been released goes on to its end.

        Args:
            reason: of those withdrawn; without one, each stream's own.
        """
        self._called_off = reason or reasons.OUT_OF_TIME
        # A stopping source settles its wishes by itself: source_stops.
        with contextlib.suppress(LoopStoppedError):
            self.source.loop.post(_CallOff(self, reason))

    # -- On the source's thread.

    def depart(self, connections: "list[Connection]", quiet_for_s: float) -> None:
        self.source.farewells.add(self.source_stops)
        self.moves = [Move(connection, self) for connection in connections]
        self._unsettled = len(self.moves)
        refused: list[Move] = []
        wished: list[Move] = []
        for move in self.moves:
            reason = self._objection(move, quiet_for_s)
            if reason:
                move.settle(reason)
                refused.append(move)
            else:
                move.begin()
                wished.append(move)
        self._wishes = dict.fromkeys(wished)
        if not self.moves:
            self._done()
        self._settled(refused)
        for move in wished:
            # One that is quiet asks may_leave at once.
            move.stream.leave(move)
        if wished and not self._patient:
            # Whether reading stops at once or when this turn ends, it has
            # stopped when the loop comes to its inbox again.
            self.source.loop.post(_CallOff(self, "", resting_too=False))

    def _objection(self, move: Move, quiet_for_s: float) -> str:
        """Why it needs not be tried; "" if it may be."""
        connection, stream = move.connection, move.stream
        if self._called_off:
            return self._called_off
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
        # An early look, so that a guest does not lose its protocol for
        # nothing; the target looks again when it adopts.
        if self.target.loop.serving_on(stream.sockname) is None:
            return reasons.NO_SERVER
        return ""

    def admit(self, move: Move) -> bool:
        """Whether there is room for it between the loops; else it is held back."""
        with self._lock:
            if move.between_loops:
                return True
            room = self._between_loops < self._at_once
            if room:
                move.between_loops = True
                self._between_loops += 1
            elif not move.held_back:
                move.held_back = True
                self._held_back.append(move)
            return room

    def stirred(self, move: Move) -> None:
        with self._lock:
            self._make_room([move])
        if self._patient:
            self._refill_soon()
        else:
            del self._wishes[move]
            move.withdraw(reasons.STIRRED)
            self._settled([move])

    def settled_at_source(self, move: Move) -> None:
        """It ended before it was released."""
        del self._wishes[move]
        self._settled([move])
        self._refill_soon()

    def _refill_soon(self) -> None:
        # Not from inside a stream's call: another stream might leave meanwhile.
        if self._held_back:
            with contextlib.suppress(LoopStoppedError):
                self.source.loop.post(_Refill(self))

    def refill(self) -> None:
        """There is room again: those held back may go, if they are quiet still."""
        for _ in range(len(self._held_back)):
            with self._lock:
                if not self._held_back or self._between_loops >= self._at_once:
                    return
                move = self._held_back.popleft()
                move.held_back = False
            if not (move.settled or move.between_loops):
                # If it is busy by now it asks at its next quiet moment.
                move.stream.leave(move)

    def ship(self, move: Move) -> None:
        """It has been released: its Carry goes to the target."""
        del self._wishes[move]
        if self._crate is not None and self._crate.add(move):
            return
        self._crate = _Crate(self, move)
        try:
            self.target.loop.post(self._crate)
        except LoopStoppedError:
            self.send_home(self._crate.close(), reasons.TARGET_STOPPED)

    def withdraw(self, reason: str, moves: Iterable[Move] | None = None) -> None:
        """Of the wishes, or *moves* of them, whatever has not been released."""
        withdrawn = list(self._wishes if moves is None else moves)
        for move in withdrawn:
            del self._wishes[move]
            move.withdraw(reason or move.stream.why_not_quiet or reasons.OUT_OF_TIME)
        self._settled(withdrawn)

    def withdraw_busy(self) -> None:
        self.withdraw("", [m for m in self._wishes if m.phase is Phase.SERVING])

    def source_stops(self) -> None:
        """Its inbox is closed, its streams are still there."""
        self.withdraw(reasons.SOURCE_STOPPED)

    # -- On the thread that a message is delivered on, or refused on.

    def send_home(self, moves: list[Move], reason: str) -> None:
        """The target has not taken them: the source takes them back."""
        homecoming = _Homecoming(self, moves, reason)
        try:
            self.source.loop.post(homecoming)
        except LoopStoppedError:
            homecoming.refuse()

    def fail(self, error: BaseException) -> None:
        """It could not even begin."""
        self.error = error
        self._done()

    def _make_room(self, moves: Iterable[Move]) -> None:
        for move in moves:
            self._between_loops -= move.between_loops
            move.between_loops = False

    def _settled(self, moves: list[Move]) -> None:
        """Every one of *moves* has its answer."""
        if not moves:
            return
        self._on_settled(moves)
        with self._lock:
            self._make_room(moves)
            self._unsettled -= len(moves)
            done = self._unsettled == 0
        if done:
            self._done()

    def landed(self, moves: list[Move]) -> None:
        """On the target's thread: they are served there."""
        self._settled(moves)
        with self._lock:
            held = bool(self._held_back)
        if held:
            with contextlib.suppress(LoopStoppedError):
                self.source.loop.post(_Refill(self))

    def _done(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, True
        if finished:
            return
        self.source.farewells.discard(self.source_stops)
        self._on_done()


class _CrossingMessage:
    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing

    def refuse(self) -> None:
        """The source is stopping and settles its wishes itself."""


class _Departure(_CrossingMessage):
    """To the source: begin."""

    def __init__(
        self,
        crossing: Crossing,
        choose: "Callable[[], list[Connection]]",
        quiet_for_s: float,
    ) -> None:
        super().__init__(crossing)
        self._choose = choose
        self._quiet_for_s = quiet_for_s

    def deliver(self) -> None:
        try:
            self._crossing.depart(self._choose(), self._quiet_for_s)
        except BaseException as error:
            # Whoever waits must hear of it too.
            self._crossing.fail(error)
            raise

    def refuse(self) -> None:
        self._crossing.fail(
            LoopStoppedError(f"{self._crossing.source!r} stopped before a move began")
        )


class _CallOff(_CrossingMessage):
    """To the source: withdraw the wishes."""

    def __init__(
        self, crossing: Crossing, reason: str, *, resting_too: bool = True
    ) -> None:
        super().__init__(crossing)
        self._reason = reason
        self._resting_too = resting_too

    def deliver(self) -> None:
        if self._resting_too:
            self._crossing.withdraw(self._reason)
        else:
            self._crossing.withdraw_busy()


class _Refill(_CrossingMessage):
    """To the source: there is room between the loops again."""

    def deliver(self) -> None:
        self._crossing.refill()


class _Crate:
    """To the target: carries, and room for more until it is opened."""

    def __init__(self, crossing: Crossing, first: Move) -> None:
        self._crossing = crossing
        self._moves: list[Move] | None = [first]

    def add(self, move: Move) -> bool:
        """False if the target has opened it already."""
        with self._crossing._lock:
            if self._moves is None:
                return False
            self._moves.append(move)
            return True

    def close(self) -> list[Move]:
        """Nothing can be added any more."""
        with self._crossing._lock:
            moves, self._moves = self._moves, None
        assert moves is not None, "a crate was delivered twice"
        return moves

    def deliver(self) -> None:
        moves = self.close()
        landed: list[Move] = []
        reason = reasons.FACTORY_FAILED
        try:
            for move in moves:
                try:
                    move.arrive()
                except Refused as refused:
                    reason = refused.reason
                else:
                    landed.append(move)
        finally:
            # Also where something worse than a refusal ended the loop above.
            refused_moves = [move for move in moves if not move.settled]
            if refused_moves:
                self._crossing.send_home(refused_moves, reason)
            self._crossing.landed(landed)

    def refuse(self) -> None:
        self._crossing.send_home(self.close(), reasons.TARGET_STOPPED)


class _Homecoming:
    """To the source: what the target has refused."""

    def __init__(self, crossing: Crossing, moves: list[Move], reason: str) -> None:
        self._crossing = crossing
        self._moves = moves
        self._reason = reason

    def deliver(self) -> None:
        crossing = self._crossing
        try:
            for move in self._moves:
                move.come_back(self._reason)
        finally:
            for move in self._moves:
                if not move.settled:
                    move.abandon()
            # What refused once would refuse again, and each refusal costs a
            # guest its protocol.
            crossing.withdraw(self._reason)
            crossing._settled(self._moves)

    def refuse(self) -> None:
        """Both loops have stopped."""
        for move in self._moves:
            move.abandon()
        self._crossing._settled(self._moves)

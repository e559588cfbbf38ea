"""Many moves from one loop thread to another, sharing their wake-ups.

    asker's thread    source's thread              target's thread
    Departure ------> leave() on each stream
                      stopped, rested, released
                      Crate ---------------------> adopt each one
                      <---------------- Room       (only if some are held back)
                      <---------------- Homecoming (only what was refused)
    <----------------------- on_done, once: whichever thread settles the last

Under the GIL a thread that is woken may wait a whole switch interval until it
runs, so nothing here posts once per connection.  A crate stays open until the
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
from .letters import CallOff, Crate, Departure, Homecoming, NoPatience, Room
from .move import Move
from .pace import Pace
from .phase import Phase

if TYPE_CHECKING:
    from aioadapt.loop_thread import LoopThread

    from .connection import Connection


class Crossing:
    """The moves of one ``move()`` or one ``drain()``."""

    def __init__(
        self,
        source: "LoopThread",
        target: "LoopThread",
        *,
        pace: Pace,
        patient: bool,
        on_settled: Callable[[list[Move]], None],
        on_done: Callable[[], None],
    ) -> None:
        self.source = source
        self.target = target
        self.error: BaseException | None = None
        self.moves: list[Move] = []
        # A patient one waits for each connection's next quiet moment.
        self._patient = patient
        self._on_settled = on_settled
        self._on_done = on_done
        self._called_off = ""

        # On the source's thread only: what can still be withdrawn.
        self._wishes: dict[Move, None] = {}
        self._crate: Crate | None = None

        # Guards what is below, and each Crate's contents.
        self.lock = threading.Lock()
        self._pace = pace
        self._finished = False
        self._unsettled = 0
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
        self.source.loop.post(Departure(self, choose, quiet_for_s))

    def call_off(self, reason: str = "") -> None:
        """Withdraw every wish; what has been released goes on to its end.

        Args:
            reason: of those withdrawn; without one, each stream's own.
        """
        self._called_off = reason or reasons.OUT_OF_TIME
        # A stopping source settles its wishes by itself: source_stops.
        with contextlib.suppress(LoopStoppedError):
            self.source.loop.post(CallOff(self, reason))

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
        self.settled(refused)
        for move in wished:
            move.stream.leave(move, at_once=not self._patient)
        if wished and not self._patient:
            # What was quiet has stopped by now; the others are busy.
            self.source.loop.post(NoPatience(self))

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
        """Whether there is room for it between the loops."""
        with self.lock:
            room = self._between_loops < self._pace.at_once
            if room:
                self._pace.begins(time.monotonic())
                self._between_loops += 1
                move.between_loops = True
            else:
                self._was_full = True
            return room

    def stirred(self, move: Move) -> None:
        if self._patient:
            self._make_room([move])
        else:
            del self._wishes[move]
            move.withdraw(reasons.STIRRED)
            self.settled([move])

    def settled_at_source(self, move: Move) -> None:
        """It ended before it was released."""
        del self._wishes[move]
        self.settled([move])

    def ship(self, move: Move) -> None:
        """It has been released: its Carry goes to the target."""
        del self._wishes[move]
        # Nobody serves it until the target's thread has run.
        self.source.loop.let_run(self.target.loop)
        if self._crate is not None and self._crate.add(move):
            return
        self._crate = Crate(self, move)
        try:
            self.target.loop.post(self._crate)
        except LoopStoppedError:
            self.send_home(self._crate.close(), reasons.TARGET_STOPPED)

    def withdraw(self, reason: str, moves: list[Move] | None = None) -> None:
        """Of the wishes, or *moves* of them, whatever has not been released."""
        withdrawn = list(self._wishes if moves is None else moves)
        for move in withdrawn:
            del self._wishes[move]
            move.withdraw(reason or move.stream.why_not_quiet or reasons.OUT_OF_TIME)
        self.settled(withdrawn)

    def withdraw_busy(self) -> None:
        self.withdraw("", [m for m in self._wishes if m.phase is Phase.SERVING])

    def source_stops(self) -> None:
        """Its streams are still there, and nobody else will tell them."""
        self.withdraw(reasons.SOURCE_STOPPED)

    # -- On the thread that a message is delivered on, or refused on.

    def send_home(self, moves: list[Move], reason: str) -> None:
        """The target has not taken them: the source takes them back."""
        homecoming = Homecoming(self, moves, reason)
        try:
            self.source.loop.post(homecoming)
        except LoopStoppedError:
            homecoming.refuse()

    def fail(self, error: BaseException) -> None:
        """It could not even begin."""
        self.error = error
        self._done()

    def settled(self, moves: list[Move]) -> None:
        """Every one of *moves* has its answer."""
        if not moves:
            return
        self._on_settled(moves)
        with self.lock:
            self._unsettled -= len(moves)
            self._pace.settled(self._unsettled, time.monotonic())
            done = self._unsettled == 0
        if done:
            self._done()
        else:
            self._make_room(moves)

    def _make_room(self, moves: list[Move]) -> None:
        with self.lock:
            for move in moves:
                self._between_loops -= move.between_loops
                move.between_loops = False
            fill = self._was_full and self._between_loops < self._pace.at_once
            if fill:
                self._was_full = False
        if fill:
            with contextlib.suppress(LoopStoppedError):
                self.source.loop.post(Room(self))

    def _done(self) -> None:
        with self.lock:
            finished, self._finished = self._finished, True
        if finished:
            return
        self.source.farewells.discard(self.source_stops)
        self._on_done()

"""One connection's move: it hears what happened and follows the phase table.

A ``Move`` is the handler that the stream calls while it leaves.  It belongs to
the source loop's thread until its detached socket is sent, then to whichever thread
the message with it is delivered on; never to two at once, so it has no lock.
What many moves share (who may leave now, messages, who is told) is the
``MigrationBatch``'s.
"""

import time
from typing import TYPE_CHECKING

from aioadapt.errors import MigrationOrderError

from . import reasons
from .adopt import Home, RefusedError, adopt
from .detached_socket import DetachedSocket
from .phase import TRANSITIONS, Event, Phase
from .ports import Released, Stream

if TYPE_CHECKING:
    from aioadapt.loop_thread import LoopThread

    from .batch import MigrationBatch
    from .connection import Connection


def follow(phase: Phase, event: Event, *, connection_id: int) -> Phase:
    """Where *event* leads from *phase*."""
    try:
        return TRANSITIONS[phase, event]
    except KeyError:
        raise MigrationOrderError(
            f"connection {connection_id} is {phase.name} ({phase.value}), where "
            f"{event.name} ({event.value}) cannot happen"
        ) from None


class Move:
    """From the wish to the answer.  ``settled`` says that there is the answer."""

    __slots__ = (
        "_detached",
        "_home",
        "_stopped_at_s",
        "arrived_at_s",
        "batch",
        "between_loops",
        "carried_bytes",
        "connection",
        "is_finished",
        "pause_s",
        "phase",
        "reason",
        "stream",
    )

    def __init__(self, connection: "Connection", batch: "MigrationBatch") -> None:
        self.connection = connection
        self.batch = batch
        # Borrowed, and the source's: the connection gets another one later.
        self.stream: Stream = connection._stream
        self.phase = Phase.SERVING
        # The batch's, and guarded by its lock.
        self.between_loops = False
        self.is_finished = False
        self.reason = ""
        self.pause_s = 0.0
        self.carried_bytes = 0
        # On the clock of time.monotonic; the last time that a loop took it.
        self.arrived_at_s = 0.0
        self._stopped_at_s = 0.0
        self._detached: DetachedSocket | None = None
        self._home: Home | None = None

    def report(self, event: Event) -> None:
        self.phase = follow(self.phase, event, connection_id=self.connection.id)
        self.connection._phase = self.phase

    def finish(self, reason: str) -> None:
        """The answer: "" for moved, else why not.  Given once."""
        assert not self.is_finished, self
        self.is_finished = True
        self.reason = reason
        if self.connection._move is self:
            self.connection._move = None

    # -- On the source's thread, called by the stream.

    def begin(self) -> None:
        """From here on no other move can have the connection."""
        self.connection._move = self
        self.connection._phase = self.phase
        # The listener may be gone by the time a refused socket comes back.
        self._home = self.batch.source.loop.serving_on(self.stream.sockname)

    @property
    def admission_group(self) -> object:
        return self.batch

    def may_release(self) -> bool:
        return self.batch.admit(self)

    def stopped_reading(self) -> None:
        self._stopped_at_s = time.monotonic()
        self.report(Event.QUIET)

    def became_active(self) -> None:
        self.report(Event.BECAME_ACTIVE)
        self.batch.became_active(self)

    def released(self, released: Released) -> None:
        # The descriptor is ours now, so it gets its owner before anything else.
        self._detached = DetachedSocket(released)
        self.carried_bytes = len(released.unread)
        self.connection._seen = released
        self.report(Event.RELEASED)
        self.batch.transfer(self)

    def closed(self) -> None:
        self.report(Event.ENDED)
        self.finish(reasons.CLOSED)
        self.batch.finished_at_source(self)

    def cancel(self, reason: str) -> None:
        """Nothing has been let go yet: the source simply reads on."""
        self.stream.cancel_release()
        self.report(Event.CANCELLED)
        self.finish(reason)

    # -- On the thread of the loop that takes it.

    def arrive(self) -> None:
        """On the target's thread.

        Raises:
            RefusedError: it is still on its way, and may be sent back.
        """
        self._land(self.batch.target, Event.ADOPTED, None)
        self.finish("")

    def come_back(self, reason: str) -> None:
        """On the source's thread, after the target has refused for *reason*."""
        try:
            self._land(self.batch.source, Event.TAKEN_BACK, self._home)
        except RefusedError:
            self.close()
        else:
            self.finish(reason)

    def close(self) -> None:
        """On any thread: there is nobody left who could serve it."""
        assert self._detached is not None, self
        self._detached.close()
        self._detached = None
        self.report(Event.NOT_ADOPTED)
        self.finish(reasons.NOT_ADOPTED)

    def _land(self, thread: "LoopThread", event: Event, fallback: Home | None) -> None:
        assert self._detached is not None, self
        stream = adopt(self._detached, thread.loop, fallback)
        thread.loop.submit_reads()
        # It is read again from here on.
        self.arrived_at_s = time.monotonic()
        self.pause_s = self.arrived_at_s - self._stopped_at_s
        self._detached = None
        connection = self.connection
        connection._stream = connection._seen = stream
        connection._loop = thread.loop
        connection._thread = thread
        self.report(event)

    def __repr__(self) -> str:
        answer = f"; finished: {self.reason or 'moved'}" if self.is_finished else ""
        return (
            f"<Move of connection {self.connection.id} from "
            f"{self.batch.source.name!r} to {self.batch.target.name!r}: "
            f"{self.phase.value}{answer}>"
        )

"""One connection's move: it is told what happened and follows the phase table.

A ``Move`` is the release handler of its stream.  It belongs to the source loop's
thread until its detached socket is sent, then to the thread on which the message
with it is delivered.  It never belongs to two threads at once, so it has no lock.
What moves share (which of them may start now, the messages, who is notified) is in
``MigrationBatch``.
"""

import time
from typing import Protocol

from aioadapt.errors import MigrationOrderError

from . import reasons
from .adopt import FactoryAndServer, RefusedError, adopt
from .connection import Connection, ServingThread
from .detached_socket import DetachedSocket
from .phase import TRANSITIONS, Event, Phase
from .ports import Released, Stream


def follow(phase: Phase, event: Event, *, connection_id: int) -> Phase:
    """The phase that *event* leads to from *phase*."""
    try:
        return TRANSITIONS[phase, event]
    except KeyError:
        raise MigrationOrderError(
            f"connection {connection_id} is {phase.name} ({phase.value}); in this "
            f"phase {event.name} ({event.value}) cannot happen"
        ) from None


class Batch(Protocol):
    """What a move asks of its batch, and tells it."""

    source: ServingThread
    target: ServingThread

    def admit(self, move: "Move") -> bool:
        """Whether there is a free slot for it; if so, it is taken."""

    def became_active(self, move: "Move") -> None:
        """The server did something while the connection settled."""

    def transfer(self, move: "Move") -> None:
        """The connection was released: send its DetachedSocket to the target."""

    def finished_at_source(self, move: "Move") -> None:
        """The connection ended before it was released."""


class Move:
    """From the request to its result; ``is_finished`` once there is a result."""

    __slots__ = (
        "_detached",
        "_fallback",
        "_stopped_at_s",
        "arrived_at_s",
        "batch",
        "carried_bytes",
        "connection",
        "is_finished",
        "is_in_flight",
        "pause_s",
        "phase",
        "reason",
        "stream",
    )

    def __init__(self, connection: Connection, batch: "Batch") -> None:
        self.connection = connection
        self.batch = batch
        # Borrowed, and the source's: adoption gives the connection another one.
        self.stream: Stream = connection._stream
        self.phase = Phase.SERVING
        # Belongs to the batch and is guarded by its lock.
        self.is_in_flight = False
        self.is_finished = False
        self.reason = ""
        self.pause_s = 0.0
        self.carried_bytes = 0
        # On the clock of time.monotonic: when a loop last adopted it.
        self.arrived_at_s = 0.0
        self._stopped_at_s = 0.0
        self._detached: DetachedSocket | None = None
        self._fallback: FactoryAndServer | None = None

    def report(self, event: Event) -> None:
        self.phase = follow(self.phase, event, connection_id=self.connection.id)
        self.connection._phase = self.phase

    def finish(self, reason: str) -> None:
        """Set the result, once: "" if it was moved, otherwise why not."""
        assert not self.is_finished, self
        self.is_finished = True
        self.reason = reason
        if self.connection._move is self:
            self.connection._move = None

    # -- On the source's thread, called by the stream.

    def begin(self) -> None:
        """From here on no other move can take the connection."""
        self.connection._move = self
        self.connection._phase = self.phase
        # The listener may be gone by the time a refused socket is returned.
        self._fallback = self.batch.source.loop.serving_on(self.stream.sockname)

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
        # The descriptor is ours now: give it an owner before anything else.
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
        """Nothing has been released yet: the source continues to read."""
        self.stream.cancel_release()
        self.report(Event.CANCELLED)
        self.finish(reason)

    # -- On the thread of the loop that adopts it.

    def arrive(self) -> None:
        """On the target's thread.

        Raises:
            RefusedError: it is still detached and may be returned.
        """
        self._land(self.batch.target, Event.ADOPTED, None)
        self.finish("")

    def take_back(self, reason: str) -> None:
        """On the source's thread, after the target has refused for *reason*."""
        try:
            self._land(self.batch.source, Event.TAKEN_BACK, self._fallback)
        except RefusedError:
            self.close()
        else:
            self.finish(reason)

    def close(self) -> None:
        """On any thread: no loop is left that could serve it."""
        assert self._detached is not None, self
        self._detached.close()
        self._detached = None
        self.report(Event.NOT_ADOPTED)
        self.finish(reasons.NOT_ADOPTED)

    def _land(
        self,
        thread: ServingThread,
        event: Event,
        fallback: FactoryAndServer | None,
    ) -> None:
        assert self._detached is not None, self
        stream = adopt(self._detached, thread.loop, fallback)
        thread.loop.submit_reads()
        # From here on it is read again.
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

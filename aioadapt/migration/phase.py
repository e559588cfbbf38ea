"""The rules of order in a move: phases, events, transitions, owners.

    SERVING --quiet--> DRAINING --released--> CARRIED --adopted------> MOVED
       ^                  |                      |------taken back---> RETURNED
       |-- became active -|                      '------not adopted--> CLOSED
       '-- cancelled -----'

From SERVING and from DRAINING, ``ended`` leads to CLOSED as well.

Code reports an event and is told which phase follows.  A pair that is not in
``TRANSITIONS`` is a bug in aioadapt and raises ``MigrationOrderError``.

A refusal by the target is not an event: the ``DetachedSocket`` owns the descriptor
before and after it, until one of the loops has adopted it or neither could.  A
connection that is moved again starts again at ``SERVING``.
"""

import enum


class Phase(enum.Enum):
    SERVING = "the source loop serves it"
    DRAINING = "the source loop has stopped reading and is releasing it"
    CARRIED = "no loop serves it; the move owns the descriptor"
    MOVED = "the target loop serves it"
    RETURNED = "the source loop serves it again"
    CLOSED = "the connection is gone"


class Event(enum.Enum):
    QUIET = "every request is answered and reading has stopped"
    BECAME_ACTIVE = "the server did something while the connection settled"
    CANCELLED = "the move was cancelled"
    ENDED = "the peer or the server closed it"
    RELEASED = "the source loop has released the descriptor"
    ADOPTED = "the target loop has adopted it"
    TAKEN_BACK = "the source loop has adopted it again"
    NOT_ADOPTED = "neither loop could adopt it"


class Owner(enum.Enum):
    """Who closes the descriptor."""

    SOURCE = "the source loop's transport"
    DETACHED_SOCKET = "the DetachedSocket"
    TARGET = "the target loop's transport"
    NOBODY = "nobody: it is closed"


TRANSITIONS: dict[tuple[Phase, Event], Phase] = {
    (Phase.SERVING, Event.QUIET): Phase.DRAINING,
    (Phase.SERVING, Event.CANCELLED): Phase.SERVING,
    # Seen only by the loop that serves it.  Once CARRIED, no loop reads: an end of
    # file waits in the socket for the next loop that does.
    (Phase.SERVING, Event.ENDED): Phase.CLOSED,
    (Phase.DRAINING, Event.ENDED): Phase.CLOSED,
    (Phase.DRAINING, Event.BECAME_ACTIVE): Phase.SERVING,
    (Phase.DRAINING, Event.CANCELLED): Phase.SERVING,
    (Phase.DRAINING, Event.RELEASED): Phase.CARRIED,
    # There is no transition back to SERVING from here: the old protocol has been
    # told that its connection is lost.
    (Phase.CARRIED, Event.ADOPTED): Phase.MOVED,
    (Phase.CARRIED, Event.TAKEN_BACK): Phase.RETURNED,
    (Phase.CARRIED, Event.NOT_ADOPTED): Phase.CLOSED,
}

OWNERS: dict[Phase, Owner] = {
    Phase.SERVING: Owner.SOURCE,
    Phase.DRAINING: Owner.SOURCE,
    Phase.CARRIED: Owner.DETACHED_SOCKET,
    Phase.MOVED: Owner.TARGET,
    Phase.RETURNED: Owner.SOURCE,
    Phase.CLOSED: Owner.NOBODY,
}

ENDS: frozenset[Phase] = frozenset({Phase.MOVED, Phase.RETURNED, Phase.CLOSED})

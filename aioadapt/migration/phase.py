"""Every rule of order in a move: phases, events, transitions, owners.

    SERVING --quiet--> DRAINING --released--> CARRIED --adopted----> MOVED
       ^ ^                |                      |-----taken back--> RETURNED
       | '---- became_active ---|                      '-----abandoned---> CLOSED
       '----- withdrawn --'

Code reports what happened and is told where that leads.  A pair that is not
in ``TRANSITIONS`` is a mistake of ours and raises ``MigrationOrderError``.

A refusal by the target is no event: the ``DetachedSocket`` owns the descriptor before
it and after it, until one of the two loops has taken it or both have not.
A connection that is moved again begins again at ``SERVING``.
"""

import enum


class Phase(enum.Enum):
    SERVING = "the source loop serves it"
    DRAINING = "the source loop has stopped reading and lets it rest"
    CARRIED = "no loop has it; the move owns the descriptor"
    MOVED = "the target loop serves it"
    RETURNED = "the source loop serves it again"
    CLOSED = "the connection is gone"


class Event(enum.Enum):
    QUIET = "every request is answered and reading has stopped"
    BECAME_ACTIVE = "the server did something while the connection rested"
    CANCELLED = "nobody wants it moved any more"
    ENDED = "its peer left, or its server closed it"
    RELEASED = "the source loop has let the descriptor go"
    ADOPTED = "the target loop has taken it in"
    TAKEN_BACK = "the source loop has taken it in again"
    NOT_ADOPTED = "neither loop could take it"


class Owner(enum.Enum):
    """Who closes the descriptor."""

    SOURCE = "the source loop's transport"
    DETACHED_SOCKET = "the DetachedSocket"
    TARGET = "the target loop's transport"
    NOBODY = "nobody: it is closed"


TRANSITIONS: dict[tuple[Phase, Event], Phase] = {
    (Phase.SERVING, Event.QUIET): Phase.DRAINING,
    (Phase.SERVING, Event.CANCELLED): Phase.SERVING,
    # Seen only by a loop that serves it: once CARRIED nobody reads, so an end
    # of file waits in the socket and the next loop to read finds it.
    (Phase.SERVING, Event.ENDED): Phase.CLOSED,
    (Phase.DRAINING, Event.ENDED): Phase.CLOSED,
    (Phase.DRAINING, Event.BECAME_ACTIVE): Phase.SERVING,
    (Phase.DRAINING, Event.CANCELLED): Phase.SERVING,
    (Phase.DRAINING, Event.RELEASED): Phase.CARRIED,
    # No way back to SERVING from here: the old protocol has been told that
    # its connection is lost.
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

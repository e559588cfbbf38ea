"""Why a connection was not moved, except for the reasons that streams give.

A reason is a stable text: reports and counters use it as a key.  A stream's own
reasons (``why_not_quiet``) are texts such as "a request is being answered" or "TLS".
"""

ALREADY_THERE = "already on the target"
CLOSED = "closed"
UNDER_WAY = "another move is in progress"
RECENTLY_ACTIVE = "not idle for long enough"
BECAME_ACTIVE = "the server was still active"
NO_SERVER = "the target has no server on this address"
FACTORY_FAILED = "the target's protocol factory failed"
TARGET_STOPPED = "the target has stopped"
SOURCE_STOPPED = "the source has stopped"
NOT_ADOPTED = "closed: neither loop could adopt it"
OUT_OF_TIME = "out of time"
CANCELLED = "cancelled"

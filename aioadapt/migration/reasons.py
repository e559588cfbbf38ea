"""Why a connection was not moved, where it is not the wire watcher who says so.

A reason is a stable text: reports and counters use it as a key.  The others
are the stream's own, such as "a request is being answered" or "TLS".
"""

ALREADY_THERE = "already there"
CLOSED = "closed"
UNDER_WAY = "another move has it"
RECENTLY_ACTIVE = "not idle for long enough"
BECAME_ACTIVE = "its server was still active"
NO_SERVER = "the target has no server on its address"
FACTORY_FAILED = "the target's protocol factory failed"
TARGET_STOPPED = "the target has stopped"
SOURCE_STOPPED = "its own loop has stopped"
NOT_ADOPTED = "closed: no loop could take it"
OUT_OF_TIME = "out of time"
CANCELLED = "called off"

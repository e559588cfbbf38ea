"""The life of a stream or a datagram endpoint.

    OPENING --> OPEN --> CLOSING --> ENDING --> DETACHED or OVERDUE --> ENDED
                  |                    ^
                  |'---- (abort) ------'
                  '--> GIVEN_AWAY

What lives when its loop is closed is ORPHANED.
"""

cdef enum Life:
    OPENING      # connection_made has not been called yet
    OPEN         # bytes may pass in both directions
    CLOSING      # close() was called; what was written is still being sent
    ENDING       # the driver is detaching, and connection_lost is queued
    DETACHED     # connection_lost is queued; the kernel holds nothing any more
    OVERDUE      # connection_lost is due, and only waits for the kernel
    ORPHANED     # the loop is closed: the descriptor ends with the transport
    ENDED        # connection_lost was called and the descriptor is closed
    GIVEN_AWAY   # the descriptor has another owner; this object is a tombstone

"""The life of a stream.

    OPENING --> OPEN --> CLOSING --> ENDING --> ENDED
                  |                    ^
                  |'---- (abort) ------'
                  '--> GIVEN_AWAY
"""

cdef enum Life:
    OPENING      # connection_made has not been called yet
    OPEN         # bytes may pass in both directions
    CLOSING      # close() was called; what was written is still being sent
    ENDING       # the driver is detaching; connection_lost comes next
    ENDED        # connection_lost was called and the descriptor is closed
    GIVEN_AWAY   # the descriptor has another owner; this object is a tombstone

"""The table of how a stream leaves its driver.

                     RELEASE    ADMITTED      QUIET_ITERATION    DONE_QUIET
        ATTACHED ---------> WANTED ------> SETTLING --------> MOVING --------> GONE
                              ^               |                 |
                              |'-- ACTIVITY --'                 |
                              |'---------- DONE_ACTIVE ---------'

CANCEL leads back to ATTACHED.  If the driver is detaching by then, its end has to be
waited for (UNDOING), and another RELEASE may come meanwhile (UNDOING_WANTED).
"""

# Of each state, after RELEASE, CANCEL, ADMITTED, ACTIVITY, QUIET_ITERATION, DONE_QUIET,
# DONE_ACTIVE and END; -1: cannot come.
cdef int[7][8] TABLE = [
    # ATTACHED
    [WANTED, ATTACHED, -1, -1, -1, -1, -1, GONE],
    # WANTED
    [WANTED, ATTACHED, SETTLING, -1, -1, -1, -1, GONE],
    # SETTLING
    [SETTLING, ATTACHED, -1, WANTED, MOVING, -1, -1, GONE],
    # MOVING
    [MOVING, UNDOING, -1, -1, -1, GONE, WANTED, GONE],
    # UNDOING
    [UNDOING_WANTED, UNDOING, -1, -1, -1, ATTACHED, ATTACHED, GONE],
    # UNDOING_WANTED
    [UNDOING_WANTED, UNDOING, -1, -1, -1, WANTED, WANTED, GONE],
    # GONE
    [GONE, GONE, -1, -1, -1, -1, -1, GONE],
]

STATES = ("ATTACHED", "WANTED", "SETTLING", "MOVING", "UNDOING", "UNDOING_WANTED", "GONE")
EVENTS = ("RELEASE", "CANCEL", "ADMITTED", "ACTIVITY", "QUIET_ITERATION", "DONE_QUIET",
          "DONE_ACTIVE", "END")


cdef Detaching after(Detaching state, DetachEvent event) noexcept:
    cdef int next = TABLE[<int> state][<int> event]
    assert next >= 0, f"{EVENTS[<int> event]} in state {STATES[<int> state]}"
    return <Detaching> next


def state_after(str state, str event):
    """The name of the next state, for tests; None where the event cannot come."""
    cdef int next = TABLE[<int> STATES.index(state)][<int> EVENTS.index(event)]
    return None if next < 0 else STATES[next]

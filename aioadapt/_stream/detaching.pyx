"""The table of how a stream leaves its driver.

                     RELEASE    ADMITTED      QUIET_ITERATION    DONE_QUIET
        ATTACHED ---------> WANTED ------> SETTLING --------> MOVING --------> GONE
         |    ^               ^               |                 |
         |    |               |'-- ACTIVITY --'                 |
    SWAP |    | DONE          |'------------- DONE -------------'
         v    |
        SWAPPING

CANCEL leads back to ATTACHED.  If the driver is detaching by then, its end has to be
waited for (UNDOING), and another RELEASE may come meanwhile (UNDOING_WANTED).  Who
wants a stream released while it gets another driver waits for that (SWAPPING_WANTED);
and a SWAP waits while it moves.
"""

# Of each state, after RELEASE, CANCEL, ADMITTED, ACTIVITY, QUIET_ITERATION, SWAP,
# DONE_QUIET, DONE and END; -1: cannot come.
cdef int[9][9] TABLE = [
    # ATTACHED
    [WANTED, ATTACHED, -1, -1, -1, SWAPPING, -1, -1, GONE],
    # WANTED
    [WANTED, ATTACHED, SETTLING, -1, -1, SWAPPING_WANTED, -1, -1, GONE],
    # SETTLING
    [SETTLING, ATTACHED, -1, WANTED, MOVING, SETTLING, -1, -1, GONE],
    # MOVING
    [MOVING, UNDOING, -1, -1, -1, MOVING, GONE, WANTED, GONE],
    # UNDOING
    [UNDOING_WANTED, UNDOING, -1, -1, -1, UNDOING, -1, ATTACHED, GONE],
    # UNDOING_WANTED
    [UNDOING_WANTED, UNDOING, -1, -1, -1, UNDOING_WANTED, -1, WANTED, GONE],
    # SWAPPING
    [SWAPPING_WANTED, SWAPPING, -1, -1, -1, SWAPPING, -1, ATTACHED, GONE],
    # SWAPPING_WANTED
    [SWAPPING_WANTED, SWAPPING, -1, -1, -1, SWAPPING_WANTED, -1, WANTED, GONE],
    # GONE
    [GONE, GONE, -1, -1, -1, GONE, -1, -1, GONE],
]

STATES = ("ATTACHED", "WANTED", "SETTLING", "MOVING", "UNDOING", "UNDOING_WANTED",
          "SWAPPING", "SWAPPING_WANTED", "GONE")
EVENTS = ("RELEASE", "CANCEL", "ADMITTED", "ACTIVITY", "QUIET_ITERATION", "SWAP",
          "DONE_QUIET", "DONE", "END")


cdef Detaching after(Detaching state, DetachEvent event) noexcept:
    cdef int next = TABLE[<int> state][<int> event]
    assert next >= 0, f"{EVENTS[<int> event]} in state {STATES[<int> state]}"
    return <Detaching> next


def state_after(str state, str event):
    """The name of the next state, for tests; None where the event cannot come."""
    cdef int next = TABLE[<int> STATES.index(state)][<int> EVENTS.index(event)]
    return None if next < 0 else STATES[next]

"""How far a stream is with leaving its driver: one state, and what changes it.

A stream leaves its driver to be released from its loop, or to be given another driver.
``detaching.pyx`` has the table.
"""

cdef enum Detaching:
    ATTACHED             # a driver serves it
    WANTED               # as well, and it is to be released once it is quiet
    SETTLING             # quiet: it does not read for one whole iteration
    MOVING               # the driver is detaching, for a release
    UNDOING              # as well, but the release was cancelled
    UNDOING_WANTED       # as well, and then it was wanted again
    SWAPPING             # the driver is detaching; another one serves it then
    SWAPPING_WANTED      # as well, and then it is to be released
    GONE                 # released or ended: its Life says which

cdef enum DetachEvent:
    RELEASE              # somebody wants it released
    CANCEL               # and does not any more
    ADMITTED             # it is quiet, and its handler says that it may go now
    ACTIVITY             # settling, it turned out not to be quiet
    QUIET_ITERATION      # it was quiet for a whole iteration
    SWAP                 # another driver is to serve it
    DONE_QUIET           # the driver has detached, and the stream may leave
    DONE                 # the driver has detached, and the stream stays
    END                  # it ends

cdef Detaching after(Detaching state, DetachEvent event) noexcept

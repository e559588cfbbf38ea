"""Which flags a ring gets: the best that this kernel knows."""

from libc.errno cimport EINVAL, ENOMEM
from libc.string cimport memset

from aioadapt._kernel.liburing cimport (
    IORING_SETUP_CLAMP,
    IORING_SETUP_CQSIZE,
    IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_R_DISABLED,
    IORING_SETUP_SINGLE_ISSUER,
    IORING_SETUP_SUBMIT_ALL,
    io_uring,
    io_uring_params,
    io_uring_queue_init_params,
)

from aioadapt._kernel.refusal import explain, look_around

cdef enum:
    ENTRIES = 256            # submissions; a full queue is submitted at once
    ENTRIES_AT_LEAST = 8     # the end of halving on ENOMEM; what the probe uses

cdef tuple FLAG_SETS = (
    # Best first; a kernel that does not know a flag answers EINVAL.
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER,
    IORING_SETUP_SUBMIT_ALL,
    0,
)


cdef unsigned set_up(io_uring *ring) except 0:
    """Create a ring and return its flags.

    Raises:
        UringUnavailableError: with the kernel's errno.
    """
    cdef io_uring_params params
    cdef unsigned entries = ENTRIES
    cdef unsigned flags = 0
    cdef int result = -EINVAL
    for flags in FLAG_SETS:
        flags |= IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE
        while True:
            memset(&params, 0, sizeof(params))
            params.flags = flags
            params.cq_entries = entries * (COMPLETIONS // ENTRIES)
            result = io_uring_queue_init_params(entries, ring, &params)
            if result != -ENOMEM or entries <= ENTRIES_AT_LEAST:
                break
            entries //= 2
        if result != -EINVAL:
            break
    if result < 0:
        step = f"set up an io_uring of {entries} entries"
        raise explain(-result, step, look_around()).error()
    return flags

"""What can be queued with a loop: a flush, and the release of a stream."""


cdef class FlushHook:
    """Something to do once when a callback or the iteration ends, however often queued."""

    cdef int flush(self) except -1:
        raise NotImplementedError


cdef class Detachable(FlushHook):
    """A stream that is to be released: tried at the end of each iteration until done."""

    cdef bint could_release(self) noexcept:
        """Is it quiet, and not settling yet?"""
        raise NotImplementedError

    cdef ReleaseStep release_if_quiet(self) except RELEASE_RAISED:
        raise NotImplementedError

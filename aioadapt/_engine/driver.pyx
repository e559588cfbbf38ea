"""The interface between an engine and what it serves; driver.pxd explains it."""

from aioadapt._loop.hooks cimport FlushHook


cdef class Driver:
    """Moves the bytes of one descriptor: the four operations, and nothing else."""

    cdef int serve(self, Driven driven) except -1:
        """Report to this one from now on; if it is None, report nothing."""
        raise NotImplementedError

    cdef int start_reading(self) except -1:
        """From now on, report what arrives."""
        raise NotImplementedError

    cdef int stop_reading(self, bint may_resume) except -1:
        """Receive no more; what has been received already is still reported.

        *may_resume*: the protocol has paused, and often resumes in the same callback.
        """
        raise NotImplementedError

    cdef int update_room(self) except -1:
        """As long as ``wants_room``, report when the socket has room."""
        raise NotImplementedError

    cdef int detach(self) except -1:
        """Call ``on_detached`` as soon as the kernel holds nothing of it."""
        raise NotImplementedError

    cdef bint is_in_kernel(self) noexcept:
        """May the kernel still use the descriptor, or memory, of what is served?"""
        return False

    cdef int park(self) except -1:
        """The loop stops running: begin to take back what is on the ring."""
        return 0

    cdef int unpark(self) except -1:
        """The loop runs again, perhaps on another thread."""
        return 0


cdef class Driven(FlushHook):
    """What a driver serves and reports to."""

    cdef Py_ssize_t readable(self) except -1:
        """There is something to receive.  Returns how many bytes it received."""
        raise NotImplementedError

    cdef int received(self, const char *data, Py_ssize_t n) except -1:
        """These bytes have arrived; the memory is the driver's."""
        raise NotImplementedError

    cdef int received_end(self, int end, bint has_buffer=False) except -1:
        """End of file (1) or a negative errno; nothing comes after it."""
        raise NotImplementedError

    cdef int received_end_after_bytes(self, int end) except -1:
        """The same, found in the iteration that brought the last bytes."""
        raise NotImplementedError

    cdef int poll_failed(self, int error) except -1:
        """The kernel refuses to watch the descriptor."""
        raise NotImplementedError

    cdef int writable(self) except -1:
        """The socket has room again."""
        raise NotImplementedError

    cdef int on_detached(self) except -1:
        """The kernel holds nothing of it any more."""
        raise NotImplementedError

    cdef int unpark(self) except -1:
        """The loop runs again: go on where it stopped."""
        raise NotImplementedError

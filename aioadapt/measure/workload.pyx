"""What the load client sends, and which responses are right.

The crowd owns the connections, the clock and the counts.  A workload owns the content
of each connection, which it knows by its index.  A connection has at most one request
in flight, so for each index ``connected`` is called first, then ``ask`` and ``read``
in turn.
"""


cdef class Workload:
    """The base; see :class:`.paths.Paths`, :class:`.echo.Echo` and :class:`.echo.Fixed`."""

    def for_run(self):
        """Set the parameters of the next run.  Subclasses have some."""

    def complaint(self):
        """Describe what was wrong with the last response."""
        return "a response is wrong"

    cdef int prepare(self, int most) except -1:
        """Allocate the state of *most* connections.  Called once."""
        raise NotImplementedError

    cdef void connected(self, int index) noexcept nogil:
        """A new connection was opened at *index*."""

    cdef void ask(self, int index, const char **request, size_t *size) noexcept nogil:
        """Give the next request.  Its bytes stay valid until the next call for *index*."""

    cdef Verdict read(self, int index, const char **data, size_t *size) noexcept nogil:
        """Consume bytes of *data* until one response is complete or none are left.

        A datagram is passed whole, even if it is empty.
        """
        return GARBLED

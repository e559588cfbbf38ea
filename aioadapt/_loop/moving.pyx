"""The part of an iteration's end that moves connections to other loops.

Streams that are to be released are tried when an iteration ends: a quiet one stops
reading, settles, and is released.  Another loop's thread may be waiting for each of
these steps, and for the GIL, so this one yields it.
"""

from posix.unistd cimport usleep

from aioadapt._kernel.linux cimport now_ns
from aioadapt._loop.core cimport LoopCore
from aioadapt._loop.inbox cimport Inbox

cdef enum:
    # A guess: a few iterations of both loops.  More messages usually follow soon.
    LATENCY_MODE_NS = 20_000_000
    YIELD_US = 20            # long enough for a thread to wake and take the GIL
    YIELD_TO_AT_MOST_US = 1000      # a guess: longer than nearly every callback


cdef class ReleaseRequest:
    """A stream that is to be released: tried at the end of each iteration until done."""

    cdef bint could_release(self) noexcept:
        """Is it quiet, and not settling yet?"""
        raise NotImplementedError

    cdef bint settles(self) noexcept:
        raise NotImplementedError

    cdef ReleaseStep release_if_quiet(self) except RELEASE_RAISED:
        raise NotImplementedError


cdef class MovingCore(LoopCore):
    """See the top of this file."""

    def __cinit__(self, *args, **kwargs):
        self.release_queue = []

    cdef int end_iteration(self) except -1:
        LoopCore.end_iteration(self)
        if self.release_queue:
            self.release_quiet()
        elif self.yielding_to is None and self.awake_since_ns < self.latency_mode_until_ns:
            # The other loop may have read its messages late and be waiting for us.
            self.yield_gil()
        if self.yielding_to is not None:
            self.yield_to_other()
        return 0

    cdef bint is_awaited(self) noexcept:
        return len(self.release_queue) != 0 or self.awake_since_ns < self.latency_mode_until_ns

    def _drop_everything(self):
        self.release_queue.clear()
        LoopCore._drop_everything(self)

    cdef void yield_gil(self) noexcept:
        """Let a waiting thread take the GIL."""
        with nogil:
            usleep(YIELD_US)

    cdef int release_quiet(self) except -1:
        """Stop reading, settle for an iteration, release: all in this call if possible.

        Settling is an iteration that neither waits nor takes new events: it lets
        the host server's own tasks finish.  Another thread may be waiting for the
        GIL, so this one yields it before any stream stops reading.  Then the other
        thread does not have to run while streams are not read.
        """
        if self.any_could_release():
            self.yield_gil()
            self.run_release_queue(False)
        try:
            if self.any_settles():
                self.finish_cancels()
                self.run_ready()
                self.iteration += 1
                self.run_release_queue(True)
        finally:
            self.must_turn = self.any_settles()
        return 0

    cdef bint any_could_release(self) noexcept:
        cdef ReleaseRequest request
        for request in self.release_queue:
            if request.could_release():
                return True
        return False

    cdef bint any_settles(self) noexcept:
        cdef ReleaseRequest request
        for request in self.release_queue:
            if request.settles():
                return True
        return False

    cdef int yield_to_other(self) except -1:
        cdef Inbox inbox = self.yielding_to
        self.yielding_to = None
        with nogil:
            inbox.yield_until_taken(YIELD_TO_AT_MOST_US)
        return 0

    cdef int run_release_queue(self, bint only_settling) except -1:
        cdef ReleaseRequest request
        cdef Py_ssize_t i = 0
        cdef list release_queue = self.release_queue
        cdef object full_group = None
        cdef ReleaseStep state
        self.release_queue = []
        try:
            while i < len(release_queue):
                request = <ReleaseRequest> release_queue[i]
                i += 1
                if not request.settles() and (
                        only_settling or request.admission_group is full_group is not None):
                    self.release_queue.append(request)
                    continue
                state = request.release_if_quiet()
                if state != RELEASE_OVER:
                    self.release_queue.append(request)
                if state == NOT_ADMITTED:
                    # With hundreds of streams, asking for each one takes milliseconds.
                    full_group = request.admission_group
        except BaseException:
            self.release_queue.extend(release_queue[i - 1:])
            raise
        return 0

    cdef int queue_release(self, ReleaseRequest request) except -1:
        if not request.is_queued:
            request.is_queued = True
            self.release_queue.append(request)
        return 0

    def yield_to(self, LoopCore other not None):
        """When this iteration ends, yield the GIL until *other* has taken its messages.

        Call it on this loop's thread, after posting a message that a connection
        is waiting for.  It yields for a millisecond at most.  It also puts this
        loop into latency mode: its next iterations are short, so that the other
        loop does not wait long for it.
        """
        if other is not self:
            self.yielding_to = other.inbox
            self.latency_mode_until_ns = now_ns() + LATENCY_MODE_NS

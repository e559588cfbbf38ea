"""The part of an iteration's end that moves connections to other loops.

Streams that are to be released are tried when an iteration ends: a quiet one stops
reading, settles, and is released.  Another loop's thread may be waiting for each of
these steps, and for the GIL, so this one yields it.
"""

from posix.unistd cimport usleep

from aioadapt._kernel.linux cimport now_ns
from aioadapt._loop.core cimport LoopCore
from aioadapt._loop.hooks cimport NOT_ADMITTED, RELEASE_OVER, Detachable, ReleaseStep
from aioadapt._loop.inbox cimport Inbox

cdef enum:
    # A guess: a few iterations of both loops.  More messages usually follow soon.
    LATENCY_MODE_NS = 20_000_000
    YIELD_US = 20            # long enough for a thread to wake and take the GIL
    YIELD_TO_AT_MOST_US = 1000      # a guess: longer than nearly every callback


cdef class MovingCore(LoopCore):
    """See the top of this file."""

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
            if self.any_settling():
                self.finish_cancels()
                self.run_ready()
                self.iteration += 1
                self.run_release_queue(True)
        finally:
            self.is_settling = self.any_settling()
        return 0

    cdef bint any_could_release(self) noexcept:
        cdef Detachable stream
        for stream in self.release_queue:
            if stream.could_release():
                return True
        return False

    cdef bint any_settling(self) noexcept:
        cdef Detachable stream
        for stream in self.release_queue:
            if stream.is_settling:
                return True
        return False

    cdef int yield_to_other(self) except -1:
        cdef Inbox inbox = self.yielding_to
        self.yielding_to = None
        with nogil:
            inbox.yield_until_taken(YIELD_TO_AT_MOST_US)
        return 0

    cdef int run_release_queue(self, bint only_settling) except -1:
        cdef Detachable stream
        cdef Py_ssize_t i = 0
        cdef list release_queue = self.release_queue
        cdef object full_group = None
        cdef ReleaseStep state
        self.release_queue = []
        try:
            while i < len(release_queue):
                stream = <Detachable> release_queue[i]
                i += 1
                if not stream.is_settling and (
                        only_settling or stream.admission_group is full_group is not None):
                    self.release_queue.append(stream)
                    continue
                state = stream.release_if_quiet()
                if state != RELEASE_OVER:
                    self.release_queue.append(stream)
                if state == NOT_ADMITTED:
                    # With hundreds of streams, asking for each one takes milliseconds.
                    full_group = stream.admission_group
        except BaseException:
            self.release_queue.extend(release_queue[i - 1:])
            raise
        return 0

    cdef int queue_release(self, Detachable stream) except -1:
        if not stream.is_release_queued:
            stream.is_release_queued = True
            self.release_queue.append(stream)
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

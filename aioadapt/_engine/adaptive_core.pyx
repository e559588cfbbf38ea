"""How a loop waits whose connections are on both engines.

It is an epoll loop that has a ring once a connection is served on one.  While the ring
holds anything for a connection the loop sleeps in io_uring_enter, and the ring polls
the epoll.  Otherwise it sleeps in epoll_wait.  (Not the other way round: with
DEFER_TASKRUN a ring's descriptor does not wake who waits for it.)  Listeners, readers,
datagrams and the wake-up are always on the epoll.
"""

from aioadapt._engine.epoll.core cimport watch_wakeup
from aioadapt._engine.uring.core cimport UringCore
from aioadapt._kernel.ring cimport Ring
from aioadapt._loop.counters cimport in_buckets


cdef long long NEVER = 2 ** 63 - 1


cdef class AdaptiveCore(UringCore):
    """See the top of this file."""

    def __cinit__(self, *args, **kwargs):
        self.wakeup_watch = watch_wakeup(self)
        self.looks_at_ns = self.acts_at_ns = NEVER

    cdef int engine_starts(self) except -1:
        if self.ring is None and self.served_on_ring == 0:
            return 0
        self.leave_ring_of_another_thread()
        if self.ring is None and self.served_on_ring:
            try:
                self.make_ring()
            except OSError as error:
                self._leave_ring(error)
        return self.unpark_all()

    cdef int ring_serves_nothing(self) except -1:
        if not self._closed:
            self._ring_serves_nothing()
        return 0

    cdef int end_iteration(self) except -1:
        UringCore.end_iteration(self)
        return self.adapt() if self.awake_since_ns >= self.acts_at_ns else 0

    cdef int adapt(self) except -1:
        """Let the controller look, if it is due, and connections follow, if they do."""
        if self.awake_since_ns >= self.looks_at_ns:
            self.looks_at_ns = self.awake_since_ns + self.tick_ns
            self._look()
        if self.is_following:
            self.is_following = self._follow()
            self.must_turn |= self.is_following
        self.acts_at_ns = 0 if self.is_following else self.looks_at_ns
        return 0

    def _look_every(self, seconds):
        """Let the controller look so often, while the loop runs; None: never."""
        self.tick_ns = 0 if seconds is None else <long long> (seconds * 1e9)
        self.looks_at_ns = NEVER if seconds is None else 0
        self.acts_at_ns = 0

    def _look(self):
        """Let the controller look at the loop."""
        raise NotImplementedError

    def _leave_ring(self, error):
        """No ring can be made: give every stream that is on one to the epoll."""
        raise NotImplementedError

    def _ring_serves_nothing(self):
        raise NotImplementedError

    cdef bint ring_waits(self) noexcept:
        """Does the ring hold anything but the poll of the epoll?"""
        cdef Ring ring = self.ring
        return self.in_kernel() > 0 or ring.cancels_in_flight != 0 or len(ring.backlog) != 0

    cdef int reap(self, long long timeout_ns, int at_most) except -1:
        if self.ring is None:
            return self.poller.wait(timeout_ns, at_most)
        return self.reap_both(timeout_ns, at_most)

    cdef int reap_both(self, long long timeout_ns, int at_most) except -1:
        if not self.ring_waits():
            return self.poller.wait(timeout_ns, at_most)
        return self.wait_on_ring(timeout_ns, at_most)

    cdef bint dispatch_next(self) except -1:
        if self.ring is None:
            return self.poller.dispatch_next()
        return self.poller.dispatch_next() or self.ring.dispatch_next()

    cdef bint has_reaped(self) noexcept:
        if self.poller.next_report < self.poller.last_report:
            return True
        return self.ring is not None and self.ring.has_completions()

    cdef int submit_new(self) except -1:
        """Submit, and reap what has come since: swaps leave completions to dispatch, for
        which connections on the epoll do not wait."""
        if self.ring is None:
            return 0
        return self.ring.submit_now() if self.poller.has_reports() else self.wait_on_ring(0, 0)

    cdef int finish_cancels(self) except -1:
        return 0 if self.ring is None else UringCore.finish_cancels(self)

    def _before_swaps(self):
        """What has happened on the ring by now does not delay connections that leave it."""
        if self.ring is not None:
            self.ring.reap_all()

    def _begin_following(self):
        self.is_following = True
        self.acts_at_ns = 0

    def _follow(self):
        """Give some connections the preferred engine.  True while there may be more."""
        raise NotImplementedError

    cdef int submit(self) except -1:
        return 0 if self.ring is None else UringCore.submit(self)

    def _engine_counts(self):
        counts = UringCore._engine_counts(self)
        counts["epoll_waits"] = self.poller.waits
        counts["waits"] += self.poller.waits
        counts["on_uring"] = self.served_on_ring
        counts["swap_pauses"] = in_buckets(self.counted.swap_pauses)
        return counts

    def has_ring(self):
        return self.ring is not None

    def open_ring(self):
        """Have a ring; on the loop's thread, while it runs.

        Raises:
            OSError, UringUnavailableError: there cannot be one now.
        """
        if self.ring is None:
            self.make_ring()

    def release_ring(self):
        """Give up a ring that serves nothing; False if it is needed or there is none."""
        if self.ring is None or self.served_on_ring or self.ring_waits() \
                or self.ring.has_completions():
            return False
        self.close_ring()
        self.forget_ring()
        return True

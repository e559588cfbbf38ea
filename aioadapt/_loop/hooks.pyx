"""What can be queued with a loop, for the end of a callback or of the iteration."""

cimport cython


cdef class FlushHook:
    """Something to do once when a callback or the iteration ends, however often queued."""

    cdef int flush(self) except -1:
        raise NotImplementedError


@cython.final
cdef class HookQueue:
    """Hooks in the order in which they were queued, each once."""

    cdef void add(self, FlushHook hook) noexcept:
        if hook.is_queued:
            return
        hook.is_queued = True
        if self.first is None:
            self.first = hook
        else:
            self.last.next = hook
        self.last = hook

    cdef FlushHook take(self):
        cdef FlushHook hook = self.first
        self.first = hook.next
        hook.next = None
        if self.first is None:
            self.last = None
        hook.is_queued = False
        return hook

    cdef int run(self) except -1:
        """All, and those that they queue.  After a KeyboardInterrupt the others wait."""
        while self.first is not None:
            self.take().flush()
        return 0

    cdef int run_once(self) except -1:
        """Those that are queued now.  After a KeyboardInterrupt the others wait."""
        cdef FlushHook last = self.last, hook = None
        while self.first is not None and hook is not last:
            hook = self.take()
            hook.flush()
        return 0

    cdef void clear(self) noexcept:
        while self.first is not None:
            self.take()

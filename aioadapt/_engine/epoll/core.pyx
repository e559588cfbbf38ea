"""How a loop on epoll waits: between two iterations, in epoll_wait."""

from libc.stdint cimport uint32_t

from aioadapt._kernel.linux cimport EPOLLET, EPOLLIN
from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.fd_callbacks cimport FdCore


cdef class EpollCore(FdCore):

    def __cinit__(self, *args, **kwargs):
        self.wakeup_watch = watch_wakeup(self)

    cdef int engine_starts(self) except -1:
        return 0

    cdef int reap(self, long long timeout_ns, int at_most) except -1:
        return self.poller.wait(timeout_ns, at_most)

    cdef bint dispatch_next(self) except -1:
        return self.poller.dispatch_next()

    cdef bint has_reaped(self) noexcept:
        return self.poller.has_reports()

    def _engine_counts(self):
        return {"waits": self.poller.waits}

    def _submit(self):
        pass                 # epoll_ctl has taken effect already

    def _close_engine_in_child(self):
        # Only our descriptor of the parent's epoll may be closed: unregistering a
        # watch here would remove it for the parent as well.
        self.poller.close()

    def _check_can_close(self):
        pass                 # an epoll instance is not bound to a thread

    def _close_engine(self):
        self.poller.unregister(self.wakeup_watch)
        self.poller.close()


cdef WakeupWatch watch_wakeup(FdCore loop):
    """Edge-triggered: each write to the eventfd is an edge, and nothing has to read it."""
    cdef WakeupWatch watch = WakeupWatch.__new__(WakeupWatch)
    watch.fd = loop.inbox.wakeup.fd
    loop.poller.watch(watch, EPOLLIN | EPOLLET)
    return watch


cdef class WakeupWatch(Watch):

    cdef int ready(self, uint32_t events) except -1:
        return 0             # every iteration checks the inbox anyway

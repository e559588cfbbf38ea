"""The epoll driver of a stream, and the engine part of a loop on epoll.

Start reading sets EPOLLIN, stop reading clears it, and EPOLLOUT is set while a full
socket is waited for.  Detaching is EPOLL_CTL_DEL and takes effect
immediately: between two calls of epoll_wait the kernel holds nothing of a stream.
"""

from libc.stdint cimport uint32_t

from aioadapt._kernel.linux cimport (
    EPOLLERR,
    EPOLLET,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
)
from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.fd_callbacks cimport FdCore
from aioadapt._stream.endpoint cimport Endpoint, Driver
from aioadapt._stream.stream cimport Stream

cdef class EpollCore(FdCore):

    def __cinit__(self, *args, **kwargs):
        self.wakeup_watch = WakeupWatch.__new__(WakeupWatch)
        self.wakeup_watch.fd = self.inbox.wakeup.fd
        # Edge-triggered: each write to the eventfd is an edge, and nothing has to
        # read it.
        self.poller.watch(self.wakeup_watch, EPOLLIN | EPOLLET)

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


cdef class WakeupWatch(Watch):

    cdef int ready(self, uint32_t events) except -1:
        return 0             # every iteration checks the inbox anyway


cdef class StreamWatch(Watch):

    cdef int ready(self, uint32_t events) except -1:
        cdef EpollStreamDriver driver = self.driver
        if driver.stream is None:
            return 0
        if events & (EPOLLIN | EPOLLHUP | EPOLLERR) and self.interest & EPOLLIN:
            driver.stream.readable()
        # Reading may have ended the stream.
        if driver.stream is not None and driver.stream.wants_room and events & ~EPOLLIN:
            driver.stream.has_room()
        return 0


cdef class EpollStreamDriver(Driver):

    def __cinit__(self, loop):
        self.loop = loop

    cdef int serve(self, Endpoint stream) except -1:
        self.stream = <Stream> stream
        return 0

    cdef int start_reading(self) except -1:
        return self.update_interest()

    cdef int stop_reading(self) except -1:
        return self.update_interest()

    cdef int update_room(self) except -1:
        return self.update_interest()

    cdef int update_interest(self) except -1:
        cdef uint32_t interest = 0
        self.loop.check_not_forked()
        if self.stream.is_reading:
            interest |= EPOLLIN
        if self.stream.wants_room:
            interest |= EPOLLOUT
        if self.watch is None:
            if interest == 0:
                return 0
            self.watch = StreamWatch.__new__(StreamWatch)
            self.watch.fd = self.stream.fd
            self.watch.driver = self
        return self.loop.poller.watch(self.watch, interest)

    cdef int detach(self) except -1:
        if self.watch is not None:
            self.loop.check_not_forked()
            self.loop.poller.unregister(self.watch)
            self.watch = None
        return 0 if self.stream is None else self.stream.on_detached()

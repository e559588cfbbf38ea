"""The epoll driver of a stream or a datagram endpoint: one watch, level-triggered.

Start reading sets EPOLLIN, stop reading clears it, and EPOLLOUT is set while a full
socket is waited for.  What one iteration leaves in the socket is reported in the next,
after the other sockets.  Detaching is EPOLL_CTL_DEL and takes effect immediately:
between two calls of epoll_wait the kernel holds nothing of what is served.
"""

from libc.stdint cimport uint32_t

from aioadapt._engine.driver cimport Driven, Driver
from aioadapt._kernel.linux cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from aioadapt._kernel.poller cimport Watch


cdef class DrivenWatch(Watch):

    cdef int ready(self, uint32_t events) except -1:
        cdef EpollDriver driver = self.driver
        if driver.driven is None:
            return 0
        if events & (EPOLLIN | EPOLLHUP | EPOLLERR) and self.interest & EPOLLIN:
            driver.driven.readable()
        # Reading may have ended it.
        if driver.driven is not None and driver.driven.wants_room and events & ~EPOLLIN:
            driver.driven.writable()
        return 0


cdef class EpollDriver(Driver):

    def __cinit__(self, loop):
        self.loop = loop

    @property
    def engine(self):
        return "epoll"

    cdef int serve(self, Driven driven) except -1:
        self.driven = driven
        return 0

    cdef int start_reading(self) except -1:
        return self.update_interest()

    cdef int stop_reading(self, bint may_resume) except -1:
        return self.update_interest()

    cdef int update_room(self) except -1:
        return self.update_interest()

    cdef int update_interest(self) except -1:
        cdef uint32_t interest = 0
        self.loop.check_not_forked()
        if self.driven.is_reading:
            interest |= EPOLLIN
        if self.driven.wants_room:
            interest |= EPOLLOUT
        if self.watch is None:
            if interest == 0:
                return 0
            self.watch = DrivenWatch.__new__(DrivenWatch)
            self.watch.fd = self.driven.fd
            self.watch.driver = self
        return self.loop.poller.watch(self.watch, interest)

    cdef int detach(self) except -1:
        if self.watch is not None:
            self.loop.check_not_forked()
            self.loop.poller.unregister(self.watch)
            self.watch = None
        return 0 if self.driven is None else self.driven.on_detached()

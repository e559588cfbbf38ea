"""The epoll driver of a datagram endpoint: one watch, level-triggered.

What one iteration leaves in the socket is reported in the next, after the other
sockets.  Detaching is EPOLL_CTL_DEL.
"""

from libc.stdint cimport uint32_t

from aioadapt._engine.driver cimport Driven, Driver
from aioadapt._kernel.linux cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from aioadapt._kernel.poller cimport Watch


cdef class DatagramWatch(Watch):

    cdef int ready(self, uint32_t events) except -1:
        cdef EpollDatagramDriver driver = self.driver
        # As with asyncio's selector, a hang-up or an error wakes both.
        if events & (EPOLLIN | EPOLLHUP | EPOLLERR) and self.interest & EPOLLIN:
            if driver.endpoint is not None:
                driver.endpoint.readable()
        # The protocol may have ended it in the meantime.
        if events & (EPOLLOUT | EPOLLHUP | EPOLLERR) and self.interest & EPOLLOUT:
            if driver.endpoint is not None:
                driver.endpoint.writable()
        return 0


cdef class EpollDatagramDriver(Driver):

    def __cinit__(self, loop):
        self.loop = loop

    cdef int serve(self, Driven endpoint) except -1:
        self.endpoint = endpoint
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
        if self.endpoint.is_reading:
            interest |= EPOLLIN
        if self.endpoint.wants_room:
            interest |= EPOLLOUT
        if self.watch is None:
            self.watch = DatagramWatch.__new__(DatagramWatch)
            self.watch.fd = self.endpoint.fd
            self.watch.driver = self
        return self.loop.poller.watch(self.watch, interest)

    cdef int detach(self) except -1:
        if self.watch is not None:
            self.loop.check_not_forked()
            self.loop.poller.unregister(self.watch)
            self.watch = None
        return 0 if self.endpoint is None else self.endpoint.on_detached()

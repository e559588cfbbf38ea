"""Readiness: one epoll instance on one thread.

What epoll is.  A registration belongs to an *open file description*, not to
the descriptor's number.  Close one of two duplicates, and epoll keeps reporting
the number that is gone, with nobody left who could unregister it.  So a
descriptor is always unregistered here (EPOLL_CTL_DEL) before it is closed or
handed over.

What a report is.  Epoll returns the pointer that was registered.  Within one
batch of reports, the first callback may unregister, close or replace what a
later report is about.  So ``wait`` only reaps: it takes a reference to every
watch of the batch before anything runs.  ``dispatch_next`` then runs them one by
one, and skips a watch that has been unregistered since or no longer wants the
event.

Registrations are level-triggered: what one iteration leaves unread is reported
again in the next, so no connection can stall with bytes waiting.

    not registered --watch(interest)--> registered --unregister--> not registered
                                         |      ^
                                         '------' watch(other interest)

``watches`` keeps each Watch alive for as long as it is registered.

Epoll takes each descriptor only once.  Where two watches share one (a transport
that still sends what it had when it was closed, and ``add_reader``), the second is
registered with a secondary poller, which this one watches like any descriptor.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from libc.errno cimport EBADF, EINTR, ENOENT, errno
from posix.unistd cimport close as close_fd

from aioadapt._kernel.linux cimport (
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait_ns,
)

import os

cdef enum:
    ROOM = 1024          # a guess: enough that a busy iteration needs one wait


cdef class Watch:
    """Is called when its descriptor is ready."""

    cdef int ready(self, uint32_t events) except -1:
        raise NotImplementedError


cdef class SecondaryWatch(Watch):

    cdef int ready(self, uint32_t events) except -1:
        # Reports left over by a callback that raised out of the loop come again.
        self.poller.drop_reports()
        self.poller.wait(0, 0)
        while self.poller.dispatch_next():
            pass
        return 0


cdef class Poller:

    def __cinit__(self):
        self.epoll_fd = -1
        self.strays = []
        self.watches = set()
        self.room = ROOM
        self.events = <epoll_event *> PyMem_Malloc(ROOM * sizeof(epoll_event))
        self.reports = <Report *> PyMem_Malloc(ROOM * sizeof(Report))
        if self.events == NULL or self.reports == NULL:
            raise MemoryError
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            raise OSError(errno, f"cannot create an epoll instance: {os.strerror(errno)}")

    def __dealloc__(self):
        self.drop_reports()
        if self.epoll_fd >= 0:
            close_fd(self.epoll_fd)
        PyMem_Free(self.events)
        PyMem_Free(self.reports)

    cdef int watch(self, Watch watch, uint32_t interest) except -1:
        """Watch for these events from now on, instead of the earlier ones; 0 for none."""
        if interest == watch.interest:
            return 0
        if interest == 0:
            return self.unregister(watch)
        if watch.is_secondary:
            return self.secondary.epoll_set(watch, interest)
        try:
            return self.epoll_set(watch, interest)
        except FileExistsError:
            if not self.has_another(watch):
                raise
        return self.register_secondary(watch, interest)

    cdef int unregister(self, Watch watch) except -1:
        if watch.interest == 0:
            return 0
        if watch.is_secondary:
            watch.is_secondary = False
            return self.secondary.epoll_delete(watch)
        return self.epoll_delete(watch)

    cdef int epoll_set(self, Watch watch, uint32_t interest) except -1:
        cdef epoll_event event
        cdef int what
        event.events = interest
        event.data.ptr = <void *> watch
        what = EPOLL_CTL_ADD if watch.interest == 0 else EPOLL_CTL_MOD
        if epoll_ctl(self.epoll_fd, what, watch.fd, &event) < 0:
            raise OSError(errno, os.strerror(errno))
        if watch.interest == 0:
            self.watches.add(watch)
        watch.interest = interest
        return 0

    cdef int register_secondary(self, Watch watch, uint32_t interest) except -1:
        cdef SecondaryWatch both
        if self.secondary is None:
            both = SecondaryWatch.__new__(SecondaryWatch)
            both.poller = Poller()
            both.fd = both.poller.epoll_fd
            self.epoll_set(both, EPOLLIN)
            self.secondary = both.poller
        self.secondary.epoll_set(watch, interest)
        watch.is_secondary = True
        return 0

    cdef int epoll_delete(self, Watch watch) except -1:
        cdef epoll_event unused
        cdef int failed = 0
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_DEL, watch.fd, &unused) < 0:
            if errno == EBADF or errno == ENOENT:
                # The descriptor was closed behind our back.  Epoll then dropped
                # the registration, unless there is a duplicate, which only its
                # owner can close.  Until then epoll keeps reporting our pointer.
                self.strays.append(watch)
            else:
                failed = errno
        watch.interest = 0
        self.watches.discard(watch)
        if failed:
            raise OSError(failed, os.strerror(failed))
        return 0

    cdef bint has_another(self, Watch watch):
        cdef Watch other
        for other in self.watches:
            if other.fd == watch.fd:
                return True
        return False

    cdef int wait(self, long long timeout_ns, int at_most) except -1:
        """Reap what is ready; -1 waits forever.  Nothing runs yet.

        Raises what a signal handler raises.  An interrupted wait returns 0.
        """
        cdef int n, i, error
        cdef epoll_event *events = self.events
        cdef int epoll_fd = self.epoll_fd
        if at_most > self.room or at_most < 1:
            at_most = self.room
        with nogil:
            n = epoll_wait_ns(epoll_fd, events, at_most, timeout_ns)
            error = errno
        self.waits += 1
        if n < 0:
            if error != EINTR:
                raise OSError(error, f"epoll_wait: {os.strerror(error)}")
            PyErr_CheckSignals()
            return 0
        for i in range(n):
            self.reports[i].watch = <PyObject *> events[i].data.ptr
            self.reports[i].events = events[i].events
            Py_INCREF(<object> self.reports[i].watch)
        self.next_report = 0
        self.last_report = n
        return n

    cdef bint has_reports(self) noexcept:
        """True if some are left, as after a callback has raised out of the loop."""
        return self.next_report < self.last_report

    cdef bint dispatch_next(self) except -1:
        """Run one report; False when none is left."""
        cdef Watch watch
        cdef uint32_t events
        if self.next_report >= self.last_report:
            return False
        watch = <Watch> self.reports[self.next_report].watch
        events = self.reports[self.next_report].events
        self.next_report += 1
        Py_DECREF(watch)              # the local variable holds it now
        events &= watch.interest | EPOLLERR | EPOLLHUP
        if watch.interest != 0 and events != 0:
            watch.ready(events)
        return True

    cdef void drop_reports(self) noexcept:
        while self.next_report < self.last_report:
            Py_XDECREF(self.reports[self.next_report].watch)
            self.next_report += 1

    cpdef close(self):
        if self.secondary is not None:
            self.secondary.close()
        self.drop_reports()
        if self.epoll_fd >= 0:
            close_fd(self.epoll_fd)
            self.epoll_fd = -1

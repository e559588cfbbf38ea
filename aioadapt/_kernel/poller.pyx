"""Readiness: one epoll instance on one thread.

What epoll is.  A registration belongs to an *open file description*, not to
the descriptor's number.  Close one of two duplicates, and epoll keeps reporting
the number that is gone, with nobody left who could unregister it.  So a
descriptor of ours is always unregistered here (EPOLL_CTL_DEL) before it is closed
or handed over.  A user's may be closed first, by mistake or by habit, and its
number may belong to another file by the time it is unregistered.

What a report is.  Epoll returns 64 bits that were registered: here the descriptor
and the number of the registration, never a pointer.  ``watches`` has the Watch that
is registered for a descriptor, and its ``registration`` says whether the report is
about it.  A report of what was unregistered too late finds nobody, so nothing has
to be kept for it.

Within one batch of reports, the first callback may unregister, close or replace
what a later report is about.  So ``wait`` only reaps: it takes a reference to every
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
from libc.stdint cimport uint64_t
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
        self.watches = []
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
            if registered_for(self.watches, watch.fd) is None:
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
        cdef int what = EPOLL_CTL_MOD
        event.events = interest
        if watch.interest == 0:
            what = EPOLL_CTL_ADD
            self.registrations += 1
            watch.registration = self.registrations
        elif registered_for(self.watches, watch.fd) is not watch:
            # Closed behind our back, and the number is another's by now.
            raise OSError(ENOENT, os.strerror(ENOENT))
        event.data.u64 = (<uint64_t> watch.registration << 32) | <uint32_t> watch.fd
        if epoll_ctl(self.epoll_fd, what, watch.fd, &event) < 0:
            raise OSError(errno, os.strerror(errno))
        if watch.interest == 0:
            self.remember(watch)
        watch.interest = interest
        return 0

    cdef int remember(self, Watch watch) except -1:
        while len(self.watches) <= watch.fd:
            self.watches.append(None)
        if self.watches[watch.fd] is None:
            self.watch_count += 1
        # Otherwise that one's descriptor was closed behind our back: epoll has taken
        # another file of this number.
        self.watches[watch.fd] = watch
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
        watch.interest = 0
        if registered_for(self.watches, watch.fd) is not watch:
            # Closed behind our back, and the number is another's by now, whose
            # registration this would remove.
            self.late += 1
            return 0
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_DEL, watch.fd, &unused) < 0:
            if errno == EBADF or errno == ENOENT:
                # The descriptor was closed behind our back.  Epoll then dropped
                # the registration, unless there is a duplicate, which only its
                # owner can close.  Until then epoll keeps reporting it.
                self.late += 1
            else:
                failed = errno
        self.watches[watch.fd] = None
        self.watch_count -= 1
        if failed:
            raise OSError(failed, os.strerror(failed))
        return 0

    cdef int wait(self, long long timeout_ns, int at_most) except -1:
        """Reap what is ready; -1 waits forever.  Nothing runs yet.

        Raises what a signal handler raises.  An interrupted wait returns 0.
        """
        cdef int n, i, error
        cdef Watch watch
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
        self.next_report = self.last_report = 0
        for i in range(n):
            watch = registered_for(self.watches, <int> <uint32_t> events[i].data.u64)
            if watch is None or watch.registration != events[i].data.u64 >> 32:
                continue              # unregistered too late
            Py_INCREF(watch)
            self.reports[self.last_report].watch = <PyObject *> watch
            self.reports[self.last_report].events = events[i].events
            self.last_report += 1
        return self.last_report

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


cdef inline Watch registered_for(list watches, int fd):
    return <Watch> watches[fd] if fd < len(watches) else None

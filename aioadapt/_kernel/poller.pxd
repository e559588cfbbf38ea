from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from aioadapt._kernel.linux cimport epoll_event


cdef class Watch:
    cdef:
        readonly int fd           # borrowed; the creator of the watch closes it
        uint32_t interest         # the events that epoll reports; 0: not registered
        uint32_t registration     # the number of its latest registration
        bint is_secondary         # registered with the poller's secondary

    cdef int ready(self, uint32_t events) except -1


cdef class SecondaryWatch(Watch):
    cdef Poller poller


cdef struct Report:
    PyObject *watch               # owned until dispatched
    uint32_t events


cdef class Poller:
    cdef:
        int epoll_fd              # owned
        int room                  # reports taken in one iteration, at most
        epoll_event *events       # owned; what epoll_wait writes
        Report *reports           # owned; reaped and not yet dispatched
        int next_report, last_report
        list watches              # descriptor -> the Watch registered for it, or None
        Py_ssize_t watch_count
        uint32_t registrations    # so far
        readonly unsigned long long late    # unregistered after their descriptor was closed
        Poller secondary          # None until two watches share a descriptor
        readonly unsigned long long waits

    cdef int watch(self, Watch watch, uint32_t interest) except -1
    cdef int unregister(self, Watch watch) except -1
    cdef int epoll_set(self, Watch watch, uint32_t interest) except -1
    cdef int register_secondary(self, Watch watch, uint32_t interest) except -1
    cdef int epoll_delete(self, Watch watch) except -1
    cdef int remember(self, Watch watch) except -1
    cdef int wait(self, long long timeout_ns, int at_most) except -1
    cdef bint has_reports(self) noexcept
    cdef bint dispatch_next(self) except -1
    cdef void drop_reports(self) noexcept
    cpdef close(self)

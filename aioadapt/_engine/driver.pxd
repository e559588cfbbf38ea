"""Between an engine and what it serves.

A *driver* moves the bytes of one descriptor on one engine: start reading, stop reading,
wait for room, detach.  What it serves is a ``Driven``: a stream or a datagram endpoint,
which knows no engine.  A driver reads what is wanted (``is_reading``, ``wants_room``),
reports what has happened, and decides nothing.

    driven                            driver
       serve(driven) ----------------->        reports to it from now on
       start_reading ----------------->        what arrives is reported, until stop_reading
                     <-----------------        readable, or received and received_end
       update_room   ----------------->        as long as wants_room
                     <-----------------        writable
       detach        ----------------->        takes back what the kernel has
                     <-----------------        on_detached, once the kernel has nothing

``on_detached`` may come inside ``detach``, as on epoll.  Otherwise what the kernel had
received before it let go is reported first: no byte is lost, and none comes later.
After it the descriptor may be closed, given away, or served by another driver.
"""

from aioadapt._loop.hooks cimport FlushHook


cdef class Driver:
    cdef int serve(self, Driven driven) except -1
    cdef int start_reading(self) except -1
    cdef int stop_reading(self, bint may_resume) except -1
    cdef int update_room(self) except -1
    cdef int detach(self) except -1
    cdef bint is_in_kernel(self) noexcept
    cdef int park(self) except -1
    cdef int unpark(self) except -1


cdef class Driven(FlushHook):
    cdef:
        readonly int fd              # -1 once it is closed or another's
        readonly int family, type, proto
        Driver driver
        bint is_reading              # the driver has been told to read
        bint wants_room              # the socket is full: the driver reports when it is not

    cdef Py_ssize_t readable(self) except -1
    cdef int received(self, const char *data, Py_ssize_t n) except -1
    cdef int received_end(self, int end, bint has_buffer=*) except -1
    cdef int received_end_after_bytes(self, int end) except -1
    cdef int poll_failed(self, int error) except -1
    cdef int writable(self) except -1
    cdef int on_detached(self) except -1
    cdef int unpark(self) except -1

"""Wakes a thread that may be asleep in the kernel, through an eventfd.

The counter is never read back.  The waiter asks for edges (EPOLLET, multishot
poll), and every write is an edge of its own.  A write could block only after
2**64 wake-ups.
"""

import os

from libc.errno cimport errno, EINTR
from posix.unistd cimport close as close_fd, write as write_fd

cdef extern from "<sys/eventfd.h>":
    int eventfd(unsigned int initval, int flags) nogil
    int EFD_CLOEXEC
    int EFD_NONBLOCK


cdef class Wakeup:

    def __cinit__(self):
        self.fd = -1

    def __init__(self):
        self.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.fd < 0:
            raise OSError(errno, "cannot create an eventfd to wake the loop with: "
                          f"{os.strerror(errno)}")

    def __dealloc__(self):
        if self.fd >= 0:
            close_fd(self.fd)

    cdef void signal(self) noexcept:
        """Wake the sleeper, now or the next time it goes to sleep; for any thread.

        Of the errors of write(2), only EINTR can happen on our own eventfd.
        """
        cdef unsigned long long one = 1
        while self.fd >= 0 and write_fd(self.fd, &one, sizeof(one)) < 0 and errno == EINTR:
            pass

    cdef void close(self) noexcept:
        if self.fd >= 0:
            close_fd(self.fd)
            self.fd = -1

cdef class Wakeup:
    cdef:
        readonly int fd          # owned; closed by close() or __dealloc__

    cdef void signal(self) noexcept
    cdef void close(self) noexcept

cdef class Wakeup:
    cdef:
        readonly int fd          # owned; closed by close() or __dealloc__

    cdef int signal(self) except -1
    cpdef close(self)

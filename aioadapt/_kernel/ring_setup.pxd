from aioadapt._kernel.liburing cimport io_uring

cdef enum:
    COMPLETIONS = 4096       # as in Netty 4.2; the kernel keeps what overflows, we count it


cdef unsigned set_up(io_uring *ring) except 0

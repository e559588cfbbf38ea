from aioadapt._kernel.liburing cimport io_uring, io_uring_buf_ring


cdef class ReceiveBuffers:
    cdef:
        io_uring *ring               # borrowed from the Ring that owns us
        io_uring_buf_ring *entries   # owned mapping, shared with the kernel
        char *memory                 # owned mapping, lent out buffer by buffer
        size_t entries_bytes, memory_bytes
        readonly int count
        readonly int taken           # named by reaped completions, not given back yet
        readonly int size_bytes
        int mask
        bint registered

    @staticmethod
    cdef ReceiveBuffers register(io_uring *ring)
    cdef char *at(self, unsigned number) noexcept
    cdef void give_back(self, unsigned number) noexcept
    cdef void unregister(self) noexcept
    cdef void close_in_child(self) noexcept

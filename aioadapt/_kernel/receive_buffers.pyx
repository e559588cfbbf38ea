"""Receive buffers: provided to the kernel, and given back to it after each use.

When bytes arrive for a recv that has no buffer of its own, the kernel takes
one from the shared ring and names it in the completion.  From then until
``give_back`` the buffer is ours.  We copy the bytes out and give it back at
once, so a slow protocol never holds one.

When all buffers are taken, a recv ends with ENOBUFS.  This is an ordinary
event: the recv is begun again at the end of the first iteration that leaves
at most half of the buffers taken.
"""

from libc.errno cimport errno
from posix.mman cimport (
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
    madvise,
    mmap,
    munmap,
)
from libc.string cimport memset

from aioadapt._kernel.liburing cimport (
    io_uring,
    io_uring_buf_reg,
    io_uring_buf_ring,
    io_uring_buf_ring_add,
    io_uring_buf_ring_advance,
    io_uring_buf_ring_init,
    io_uring_buf_ring_mask,
    io_uring_register_buf_ring,
    io_uring_unregister_buf_ring,
)

import os

cdef extern from "<sys/mman.h>":
    int MADV_DONTFORK

cdef enum:
    COUNT = 256              # a power of two
    SIZE_BYTES = 16384       # below malloc's mmap threshold once copied
    ENTRY_BYTES = 16         # sizeof(struct io_uring_buf)
    GROUP = 0


cdef void *map_memory(size_t size) except NULL:
    cdef void *memory = mmap(
        NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if memory == MAP_FAILED:
        raise OSError(errno, f"cannot map {size} bytes for receive buffers: "
                             f"{os.strerror(errno)}")
    # The kernel keeps writing here on the parent's behalf; a forked child must
    # not see that.
    madvise(memory, size, MADV_DONTFORK)
    return memory


cdef class ReceiveBuffers:

    @staticmethod
    cdef ReceiveBuffers register(io_uring *ring):
        """Map the buffers and register all of them with a ring.

        Raises OSError if the kernel does not support buffer rings.
        """
        cdef ReceiveBuffers self = ReceiveBuffers.__new__(ReceiveBuffers)
        cdef io_uring_buf_reg registration
        cdef int result, number
        self.count = COUNT
        self.size_bytes = SIZE_BYTES
        self.entries_bytes = COUNT * ENTRY_BYTES
        self.memory_bytes = <size_t> COUNT * SIZE_BYTES
        self.entries = <io_uring_buf_ring *> map_memory(self.entries_bytes)
        self.memory = <char *> map_memory(self.memory_bytes)
        self.mask = io_uring_buf_ring_mask(COUNT)

        memset(&registration, 0, sizeof(registration))
        registration.ring_addr = <size_t> self.entries
        registration.ring_entries = COUNT
        registration.bgid = GROUP
        result = io_uring_register_buf_ring(ring, &registration, 0)
        if result < 0:
            raise OSError(-result, "cannot register receive buffers with the io_uring: "
                                   f"{os.strerror(-result)}")
        self.ring = ring
        self.registered = True
        io_uring_buf_ring_init(self.entries)
        for number in range(COUNT):
            io_uring_buf_ring_add(
                self.entries, self.memory + <size_t> number * SIZE_BYTES,
                SIZE_BYTES, number, self.mask, number)
        io_uring_buf_ring_advance(self.entries, COUNT)
        return self

    def __dealloc__(self):
        self.unregister()
        if self.entries != NULL:
            munmap(self.entries, self.entries_bytes)
        if self.memory != NULL:
            munmap(self.memory, self.memory_bytes)

    cdef char *at(self, unsigned number) noexcept:
        return self.memory + <size_t> number * SIZE_BYTES

    cdef void give_back(self, unsigned number) noexcept:
        io_uring_buf_ring_add(
            self.entries, self.at(number), SIZE_BYTES, number, self.mask, 0)
        io_uring_buf_ring_advance(self.entries, 1)
        self.taken -= 1

    cdef void unregister(self) noexcept:
        """Take all buffers back; only allowed while no operation is in the kernel."""
        if self.registered:
            self.registered = False
            io_uring_unregister_buf_ring(self.ring, GROUP)

    cdef void close_in_child(self) noexcept:
        """Drop the pointers in a forked child: whatever is at these addresses is not ours."""
        self.registered = False
        self.entries = NULL
        self.memory = NULL

"""An adaptive loop that gives connections another driver in every iteration."""

from libc.stdint cimport uint32_t

from aioadapt._engine.adaptive_core cimport AdaptiveCore
from aioadapt._stream.life cimport ENDING
from aioadapt._stream.stream cimport Stream


cdef class SwappingCore(AdaptiveCore):
    cdef:
        uint32_t dice

    def __cinit__(self, *args, **kwargs):
        self.dice = 1

    cdef int end_iteration(self) except -1:
        """Half of the connections, chosen at random, are given the other engine."""
        cdef Stream stream
        for stream in list(self.streams_by_fd.values()):
            self.dice ^= self.dice << 13         # Marsaglia's xorshift
            self.dice ^= self.dice >> 17
            self.dice ^= self.dice << 5
            if self.dice & 1 and stream.life < ENDING:
                stream.next_driver = self._new_driver(
                    "epoll" if stream.engine == "uring" else "uring")
                stream.begin_swap()
        return AdaptiveCore.end_iteration(self)

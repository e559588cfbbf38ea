"""An adaptive loop that gives connections another driver in every iteration."""

from collections import Counter

from libc.stdint cimport uint32_t

from aioadapt._engine.adaptive_core cimport AdaptiveCore
from aioadapt._stream.detaching cimport ATTACHED
from aioadapt._stream.endpoint cimport AT_END, PAUSED
from aioadapt._stream.life cimport CLOSING, ENDING
from aioadapt._stream.stream cimport Stream


cdef class SwappingCore(AdaptiveCore):
    cdef:
        uint32_t dice
        # Of 256 connections, so many are given the other engine when an iteration ends.
        public uint32_t swap_share
        # How many were, by the engine that they left and by what they were doing.
        readonly object swapped

    def __cinit__(self, *args, **kwargs):
        self.dice = 1
        self.swap_share = 128
        self.swapped = Counter()

    cdef int end_iteration(self) except -1:
        cdef Stream stream
        for stream in list(self.streams_by_fd.values()):
            self.dice ^= self.dice << 13         # Marsaglia's xorshift
            self.dice ^= self.dice >> 17
            self.dice ^= self.dice << 5
            if (self.dice >> 8) % 256 < self.swap_share and stream.life < ENDING:
                self.swapped[stream.engine, doing(stream)] += 1
                stream.next_driver = self._new_driver(
                    "epoll" if stream.engine == "uring" else "uring")
                stream.begin_swap()
        return AdaptiveCore.end_iteration(self)


cdef str doing(Stream stream):
    if stream.detaching != ATTACHED:
        return "detaching"
    if stream.life == CLOSING:
        return "closing"
    if stream.not_reading() & AT_END or stream.eof_asked:
        return "half-closed"
    if stream.not_reading() & PAUSED:
        return "paused"
    return "sending" if stream.out.size else "reading"

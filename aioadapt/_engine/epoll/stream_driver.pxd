from aioadapt._engine.driver cimport Driven, Driver
from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.fd_callbacks cimport FdCore


cdef class StreamWatch(Watch):
    cdef EpollStreamDriver driver


cdef class EpollStreamDriver(Driver):
    cdef:
        FdCore loop
        Driven stream                # None: there is nothing to report to
        StreamWatch watch

    cdef int update_interest(self) except -1

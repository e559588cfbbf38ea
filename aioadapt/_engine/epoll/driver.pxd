from aioadapt._engine.driver cimport Driven, Driver
from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.fd_callbacks cimport FdCore


cdef class DrivenWatch(Watch):
    cdef EpollDriver driver


cdef class EpollDriver(Driver):
    cdef:
        FdCore loop
        Driven driven                # None: there is nothing to report to
        DrivenWatch watch

    cdef int update_interest(self) except -1

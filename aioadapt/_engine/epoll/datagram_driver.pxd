from aioadapt._engine.driver cimport Driven, Driver
from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.fd_callbacks cimport FdCore


cdef class DatagramWatch(Watch):
    cdef EpollDatagramDriver driver


cdef class EpollDatagramDriver(Driver):
    cdef:
        FdCore loop
        Driven endpoint              # None when there is nobody to report to
        DatagramWatch watch

    cdef int update_interest(self) except -1

from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.fd_callbacks cimport FdCore
from aioadapt._stream.endpoint cimport Driver
from aioadapt._stream.stream cimport Stream


cdef class EpollCore(FdCore):
    cdef:
        Watch wakeup_watch


cdef class StreamWatch(Watch):
    cdef EpollStreamDriver driver


cdef class EpollStreamDriver(Driver):
    cdef:
        EpollCore loop
        Stream stream                # None: there is nothing to report to
        StreamWatch watch

    cdef int update_interest(self) except -1

from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.fd_callbacks cimport FdCore
from aioadapt._stream.endpoint cimport Driver
from aioadapt._stream.stream cimport Stream


cdef class EpollCore(FdCore):
    cdef:
        Watch wakeup_watch
        char *read_buffer            # owned; shared by all connections of the loop


cdef class StreamWatch(Watch):
    cdef EpollStreamDriver driver


cdef class EpollStreamDriver(Driver):
    cdef:
        EpollCore loop
        Stream stream                # None: there is nothing to report to
        StreamWatch watch

    cdef int readable(self) except -1
    cdef int update_interest(self) except -1

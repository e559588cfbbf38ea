from aioadapt._kernel.poller cimport Watch
from aioadapt._loop.fd_callbacks cimport FdCore


cdef class EpollCore(FdCore):
    cdef:
        WakeupWatch wakeup_watch


cdef class WakeupWatch(Watch):
    pass


cdef WakeupWatch watch_wakeup(FdCore loop)

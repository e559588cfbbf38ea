from aioadapt._kernel.poller cimport Poller, Watch
from aioadapt._stream.stream cimport Way
from aioadapt._turn.turn cimport FdCallbacks, Turn


cdef class ReadinessTurn(Turn):
    cdef:
        Poller poller                # owned
        Watch wakeup_watch
        char *read_buffer            # owned; every connection of the loop reads through it


cdef class StreamWatch(Watch):
    cdef ReadinessWay way


cdef class ReadinessWay(Way):
    cdef:
        ReadinessTurn turn
        StreamWatch watch
        bint is_blocked              # the socket takes no more for now

    cdef int readable(self) except -1
    cdef int update_interest(self) except -1
    cdef int send_some(self) except -1


cdef class FdWatch(Watch):
    cdef:
        Turn turn
        FdCallbacks callbacks

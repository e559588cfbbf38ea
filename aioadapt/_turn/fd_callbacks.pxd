from aioadapt._kernel.poller cimport Poller, Watch
from aioadapt._turn.handle cimport Handle
from aioadapt._turn.scheduling cimport SchedulingTurn
from aioadapt._turn.turn cimport Turn


cdef class FdCallbacks(Watch):
    cdef:
        Turn turn
        readonly object fileobj      # what it was first watched as: an int, or has fileno()
        readonly object reader       # handle or None
        readonly object writer

    cdef int run(self, object handle) except -1


cdef class Attempt(Handle):
    cdef:
        FdTurn turn
        int fd                       # borrowed
        bint is_for_room
        readonly object future

    cdef int try_again(self) except -1


cdef class FdTurn(SchedulingTurn):
    cdef:
        Poller poller                # owned
        readonly dict fd_callbacks   # descriptor -> FdCallbacks

    cdef int interest_changed(self, FdCallbacks callbacks) except -1
    cdef FdCallbacks callbacks_for(self, object fileobj)
    cdef int set_reader(self, FdCallbacks callbacks, object handle) except -1
    cdef int set_writer(self, FdCallbacks callbacks, object handle) except -1
    cdef FdCallbacks registered(self, object fileobj)


cdef object descriptor_of(object fileobj)

from aioadapt._kernel.poller cimport Poller, Watch
from aioadapt._loop.core cimport LoopCore
from aioadapt._loop.handle cimport Handle
from aioadapt._loop.scheduling cimport SchedulingCore


cdef class FdCallbacks(Watch):
    cdef:
        LoopCore loop
        readonly object fileobj      # as first given: an int, or an object with fileno()
        readonly object reader       # handle or None
        readonly object writer
        # The iterations that added them, while it ran callbacks.
        unsigned long long reader_since, writer_since

    cdef int run(self, object handle) except -1


cdef class Attempt(Handle):
    cdef:
        int fd                       # borrowed
        bint is_for_room
        readonly object future

    cdef int try_again(self) except -1


cdef class FdCore(SchedulingCore):
    cdef:
        Poller poller                # owned
        readonly dict fd_callbacks   # descriptor -> FdCallbacks

    cdef int interest_changed(self, FdCallbacks callbacks) except -1
    cdef FdCallbacks callbacks_for(self, object fileobj)
    cdef int set_reader(self, FdCallbacks callbacks, object handle) except -1
    cdef int set_writer(self, FdCallbacks callbacks, object handle) except -1
    cdef FdCallbacks registered(self, object fileobj)


cdef object descriptor_of(object fileobj)

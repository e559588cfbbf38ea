from aioadapt._loop.core cimport LoopCore


cdef class SchedulingCore(LoopCore):
    cdef int check_call(self, object callback, str method) except -1
    cdef object new_timer(self, object when, object callback, tuple args, object context)

from aioadapt._loop.moving cimport MovingCore


cdef class SchedulingCore(MovingCore):
    cdef int check_call(self, object callback, str method) except -1
    cdef object new_timer(self, object when, object callback, tuple args, object context)

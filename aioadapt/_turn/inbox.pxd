from cpython.object cimport PyObject

from aioadapt._kernel.wakeup cimport Wakeup


cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass


cdef class Inbox:
    cdef:
        readonly Wakeup wakeup       # owned
        pthread_mutex_t mutex        # guards everything below
        PyObject **waiting           # owned, and so is each object in it
        PyObject **spare             # what take() is emptying
        Py_ssize_t count, room, spare_room
        bint asleep                  # the loop waits, or is about to: wake it
        bint closed

    cdef bint put(self, object item) except -1
    cdef void wake_up(self) noexcept
    cdef void close_wakeup(self) noexcept
    cdef bint lie_down(self) noexcept
    cdef void wake(self) noexcept
    cdef list take(self)
    cdef list close(self)

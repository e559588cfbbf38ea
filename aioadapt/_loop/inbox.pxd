from cpython.object cimport PyObject

from aioadapt._kernel.wakeup cimport Wakeup


cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass


cdef struct Queue:
    PyObject **items                 # owned, and so is each object in it
    Py_ssize_t count, room


cdef class Inbox:
    cdef:
        readonly Wakeup wakeup       # owned
        pthread_mutex_t mutex        # guards everything below
        Queue calls                  # handles, for the next iteration
        Queue messages               # delivered between the next two callbacks
        Queue spare                  # an emptied queue, kept for the next take()
        bint parked                  # the loop sleeps, or is about to: wake it
        bint closed

    cdef bint put_call(self, object handle) except -1
    cdef bint put_message(self, object message) except -1
    cdef bint put(self, Queue *queue, object item) except -1
    cdef bint put_back_messages(self, list messages) except -1
    cdef bint has_calls(self) noexcept nogil
    cdef bint has_messages(self) noexcept nogil
    cdef void wake_up(self) noexcept
    cdef void close_wakeup(self) noexcept
    cdef bint try_park(self) noexcept
    cdef void unpark(self) noexcept
    cdef list take_calls(self)
    cdef list take_messages(self)
    cdef list take(self, Queue *queue)
    cdef list close(self)
    cdef void yield_until_taken(self, int at_most_us) noexcept nogil

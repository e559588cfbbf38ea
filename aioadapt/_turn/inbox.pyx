"""Calls from other threads: accepted means it will be answered.

``put`` either takes an item, and then the loop's thread will take it out of
here, or ``close`` returns it so that whoever closes can refuse it; or it
answers no at once.  There is no third way.  asyncio's call_soon_threadsafe
gives no such promise: a closing loop forgets what it has queued.

Sleeping is agreed on under the same lock as putting.  ``lie_down`` allows the
loop to sleep only when nothing is waiting, and from then on the first ``put``
writes to the eventfd.  The others need not, so a thousand calls cost one
system call.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from aioadapt._kernel.wakeup cimport Wakeup

cdef extern from "<pthread.h>" nogil:
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attributes)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)


cdef class Inbox:

    def __cinit__(self):
        pthread_mutex_init(&self.mutex, NULL)
        self.wakeup = Wakeup()

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.count):
            Py_DECREF(<object> self.waiting[i])
        PyMem_RawFree(self.waiting)
        PyMem_RawFree(self.spare)
        pthread_mutex_destroy(&self.mutex)

    cdef bint put(self, object item) except -1:
        """False: closed, the item is still the caller's.  From any thread.

        No Python code runs between lock and unlock.  The eventfd is written to
        under the lock, so that it cannot be closed, and its number given to
        another file, in between.
        """
        cdef PyObject **larger
        pthread_mutex_lock(&self.mutex)
        if self.closed:
            pthread_mutex_unlock(&self.mutex)
            return False
        if self.count == self.room:
            larger = <PyObject **> PyMem_RawRealloc(
                self.waiting, (2 * self.room + 64) * sizeof(PyObject *))
            if larger == NULL:
                pthread_mutex_unlock(&self.mutex)
                raise MemoryError
            self.waiting = larger
            self.room = 2 * self.room + 64
        Py_INCREF(item)
        self.waiting[self.count] = <PyObject *> item
        self.count += 1
        if self.asleep:
            self.asleep = False
            self.wakeup.signal()
        pthread_mutex_unlock(&self.mutex)
        return True

    cdef void wake_up(self) noexcept:
        """From any thread, whether something was put or not."""
        pthread_mutex_lock(&self.mutex)
        self.wakeup.signal()
        pthread_mutex_unlock(&self.mutex)

    cdef bint lie_down(self) noexcept:
        """May the loop sleep?  If so, the next put will wake it."""
        cdef bint may_sleep
        pthread_mutex_lock(&self.mutex)
        may_sleep = self.count == 0
        self.asleep = may_sleep
        pthread_mutex_unlock(&self.mutex)
        return may_sleep

    cdef void wake(self) noexcept:
        """The loop is up: until it lies down again nobody need write."""
        self.asleep = False

    cdef list take(self):
        """All that is waiting, in order; None when nothing is."""
        cdef Py_ssize_t i, count, room
        cdef PyObject **taken
        cdef list items
        if self.count == 0:
            return None
        pthread_mutex_lock(&self.mutex)
        taken, count, room = self.waiting, self.count, self.room
        self.waiting, self.room, self.count = self.spare, self.spare_room, 0
        self.spare, self.spare_room = taken, room
        pthread_mutex_unlock(&self.mutex)
        items = []
        for i in range(count):
            items.append(<object> taken[i])
            Py_DECREF(<object> taken[i])
        return items

    cdef list close(self):
        """Take no more, and return what nobody will take."""
        pthread_mutex_lock(&self.mutex)
        self.closed = True
        pthread_mutex_unlock(&self.mutex)
        return self.take() or []

    cdef void close_wakeup(self) noexcept:
        """Nobody waits here any more."""
        pthread_mutex_lock(&self.mutex)
        self.wakeup.close()
        pthread_mutex_unlock(&self.mutex)

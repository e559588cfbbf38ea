"""Calls and messages from other threads: an accepted message is always answered.

``put_message`` either accepts a message or returns False immediately.  Once
accepted, it is taken by the loop's thread, or it is returned by ``close``, so that
whatever closes the loop can refuse it.  There is no third outcome.  asyncio's
call_soon_threadsafe makes no such promise, and neither does ``put_call``: a closing
loop drops the calls that are still queued.

A call runs in the next iteration.  If the loop's own thread uses ``call_soon``
before that, the call is queued ahead of it.  A message is delivered between any two
callbacks, because a connection that no loop serves may be waiting for it.

Parking uses the same lock as putting.  ``try_park`` lets the loop sleep only if
nothing is waiting.  After that, the first ``put`` writes to the eventfd and the
others do not, so a thousand calls cost one system call.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memcpy, memmove
from posix.unistd cimport usleep

from aioadapt._kernel.wakeup cimport Wakeup

cdef extern from "<pthread.h>" nogil:
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attributes)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)

cdef extern from *:
    """
    #define aioadapt_load(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
    """
    Py_ssize_t load "aioadapt_load"(Py_ssize_t place) noexcept nogil

cdef enum:
    POLL_INTERVAL_US = 20    # a guess: less than it takes to wake a thread


cdef class Inbox:

    def __cinit__(self):
        pthread_mutex_init(&self.mutex, NULL)
        self.wakeup = Wakeup()

    def __dealloc__(self):
        drop(&self.calls)
        drop(&self.messages)
        drop(&self.spare)
        pthread_mutex_destroy(&self.mutex)

    cdef bint put_call(self, object handle) except -1:
        """False if closed: the handle is still the caller's.  From any thread."""
        return self.put(&self.calls, handle)

    cdef bint put_message(self, object message) except -1:
        """False if closed: the message is still the caller's.  From any thread."""
        return self.put(&self.messages, message)

    cdef bint put(self, Queue *queue, object item) except -1:
        """No Python code runs while the lock is held.

        The eventfd is written to under the lock.  Otherwise it could be closed,
        and its number reused for another file, just before the write.
        """
        cdef PyObject **larger
        pthread_mutex_lock(&self.mutex)
        if self.closed:
            pthread_mutex_unlock(&self.mutex)
            return False
        if queue.count == queue.room:
            larger = <PyObject **> PyMem_RawRealloc(
                queue.items, (2 * queue.room + 64) * sizeof(PyObject *))
            if larger == NULL:
                pthread_mutex_unlock(&self.mutex)
                raise MemoryError
            queue.items = larger
            queue.room = 2 * queue.room + 64
        Py_INCREF(item)
        queue.items[queue.count] = <PyObject *> item
        queue.count += 1
        if self.parked:
            self.parked = False
            self.wakeup.signal()
        pthread_mutex_unlock(&self.mutex)
        return True

    cdef bint put_back_messages(self, list messages) except -1:
        """Return messages that were taken but not delivered, ahead of newer ones.

        False if closed: the messages are still the caller's.
        """
        cdef Py_ssize_t i, n = len(messages)
        cdef Queue *queue = &self.messages
        cdef PyObject **front = <PyObject **> PyMem_RawMalloc((n + 1) * sizeof(PyObject *))
        cdef PyObject **larger
        if front == NULL:
            raise MemoryError
        for i in range(n):
            front[i] = <PyObject *> messages[i]
        pthread_mutex_lock(&self.mutex)
        if self.closed:
            pthread_mutex_unlock(&self.mutex)
            PyMem_RawFree(front)
            return False
        larger = <PyObject **> PyMem_RawRealloc(
            queue.items, (queue.count + n + 64) * sizeof(PyObject *))
        if larger == NULL:
            pthread_mutex_unlock(&self.mutex)
            PyMem_RawFree(front)
            raise MemoryError
        memmove(larger + n, larger, queue.count * sizeof(PyObject *))
        memcpy(larger, front, n * sizeof(PyObject *))
        for i in range(n):
            Py_INCREF(<object> front[i])
        queue.items = larger
        queue.room = queue.count + n + 64
        queue.count += n
        pthread_mutex_unlock(&self.mutex)
        PyMem_RawFree(front)
        return True

    cdef bint has_calls(self) noexcept nogil:
        return load(self.calls.count) != 0

    cdef bint has_messages(self) noexcept nogil:
        return load(self.messages.count) != 0

    cdef void wake_up(self) noexcept:
        """Wake the loop, whether or not something was put.  From any thread."""
        pthread_mutex_lock(&self.mutex)
        self.wakeup.signal()
        pthread_mutex_unlock(&self.mutex)

    cdef bint try_park(self) noexcept:
        """May the loop sleep?  If so, the next put wakes it."""
        cdef bint may_sleep
        pthread_mutex_lock(&self.mutex)
        may_sleep = self.calls.count == 0 and self.messages.count == 0
        self.parked = may_sleep
        pthread_mutex_unlock(&self.mutex)
        return may_sleep

    cdef void unpark(self) noexcept:
        """The loop is awake: until it parks again, put need not write to the eventfd."""
        self.parked = False

    cdef list take_calls(self):
        """All that is waiting, in order; None when nothing is."""
        if load(self.calls.count) == 0:
            return None
        return self.take(&self.calls)

    cdef list take_messages(self):
        if load(self.messages.count) == 0:
            return None
        return self.take(&self.messages)

    cdef list take(self, Queue *queue):
        cdef Py_ssize_t i
        cdef Queue taken
        cdef list items
        pthread_mutex_lock(&self.mutex)
        taken = queue[0]
        queue[0] = self.spare
        self.spare.items, self.spare.count, self.spare.room = NULL, 0, 0
        pthread_mutex_unlock(&self.mutex)
        items = []
        for i in range(taken.count):
            items.append(<object> taken.items[i])
            Py_DECREF(<object> taken.items[i])
        # Keep the empty queue for next time, unless there is a spare one already.
        taken.count = 0
        pthread_mutex_lock(&self.mutex)
        if self.spare.items == NULL:
            self.spare, taken.items = taken, NULL
        pthread_mutex_unlock(&self.mutex)
        PyMem_RawFree(taken.items)
        return items

    cdef list close(self):
        """Accept nothing more; return the messages that will not be delivered."""
        pthread_mutex_lock(&self.mutex)
        self.closed = True
        pthread_mutex_unlock(&self.mutex)
        return self.take(&self.messages)

    cdef void close_wakeup(self) noexcept:
        """The loop will not sleep again: close the eventfd."""
        pthread_mutex_lock(&self.mutex)
        self.wakeup.close()
        pthread_mutex_unlock(&self.mutex)

    cdef void yield_until_taken(self, int at_most_us) noexcept nogil:
        """Sleep, without the GIL, until the messages have been taken.

        Releasing the GIL around one short system call is not enough: the waiting
        thread needs longer to wake up than the call takes, misses the GIL, and
        then waits for the switch interval of 5 ms.
        """
        cdef int waited_us = 0
        while load(self.messages.count) != 0 and waited_us < at_most_us:
            usleep(POLL_INTERVAL_US)
            # What such a short sleep really takes, with the timer slack.
            waited_us += 4 * POLL_INTERVAL_US


cdef void drop(Queue *queue) noexcept:
    cdef Py_ssize_t i
    for i in range(queue.count):
        Py_DECREF(<object> queue.items[i])
    PyMem_RawFree(queue.items)

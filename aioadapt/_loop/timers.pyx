"""The timer heap, ordered by due time.

Each of our timers knows its index in the heap, so cancelling one removes it
immediately: a server that sets and cancels a keep-alive timer for every request
leaves nothing behind.  Timers due at the same time run in the order in which they
were set.  A negative delay is a time in the past and sorts accordingly.

asyncio's own timers (debug mode) do not know their index.  A cancelled one stays
until it is due, and is skipped then.
"""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from aioadapt._loop.handle cimport TimerHandle


cdef inline bint before(Due a, Due b) noexcept:
    return a.due_s < b.due_s or (a.due_s == b.due_s and a.sequence < b.sequence)


cdef class Timers:

    def __dealloc__(self):
        self.clear()
        PyMem_Free(self.heap)

    cdef int add(self, double due_s, object handle) except -1:
        cdef Due due
        cdef Due *heap
        if self.count == self.room:
            heap = <Due *> PyMem_Realloc(self.heap, (2 * self.room + 64) * sizeof(Due))
            if heap == NULL:
                raise MemoryError
            self.heap = heap
            self.room = 2 * self.room + 64
        self.sequence += 1
        due.due_s = due_s
        due.sequence = self.sequence
        due.handle = <PyObject *> handle
        Py_INCREF(handle)
        self.count += 1
        self.sift_up(self.count - 1, due)
        return 0

    cdef object take_first(self):
        """Remove and return the earliest timer.  The caller knows that there is one."""
        cdef object handle = <object> self.heap[0].handle
        self.remove(0)
        return handle

    cdef list in_order(self):
        cdef Py_ssize_t i
        cdef list due = [
            (self.heap[i].due_s, self.heap[i].sequence, <object> self.heap[i].handle)
            for i in range(self.count)]
        due.sort()
        return [handle for _, _, handle in due]

    cdef int remove(self, Py_ssize_t place) except -1:
        cdef object handle = <object> self.heap[place].handle
        cdef Due last
        if type(handle) is TimerHandle:
            (<TimerHandle> handle).place = -1
        self.count -= 1
        if place < self.count:
            last = self.heap[self.count]
            if place > 0 and before(last, self.heap[(place - 1) >> 1]):
                self.sift_up(place, last)
            else:
                self.sift_down(place, last)
        Py_DECREF(handle)
        return 0

    cdef void clear(self) noexcept:
        cdef PyObject *handle
        while self.count:
            self.count -= 1
            handle = self.heap[self.count].handle
            if type(<object> handle) is TimerHandle:
                (<TimerHandle> handle).place = -1
            Py_DECREF(<object> handle)

    cdef void put(self, Py_ssize_t place, Due due) noexcept:
        self.heap[place] = due
        if type(<object> due.handle) is TimerHandle:
            (<TimerHandle> due.handle).place = place

    cdef void sift_up(self, Py_ssize_t place, Due due) noexcept:
        cdef Py_ssize_t parent
        while place > 0:
            parent = (place - 1) >> 1
            if not before(due, self.heap[parent]):
                break
            self.put(place, self.heap[parent])
            place = parent
        self.put(place, due)

    cdef void sift_down(self, Py_ssize_t place, Due due) noexcept:
        cdef Py_ssize_t child
        while True:
            child = 2 * place + 1
            if child >= self.count:
                break
            if child + 1 < self.count and before(self.heap[child + 1], self.heap[child]):
                child += 1
            if not before(self.heap[child], due):
                break
            self.put(place, self.heap[child])
            place = child
        self.put(place, due)

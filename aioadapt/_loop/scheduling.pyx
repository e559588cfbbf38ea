"""asyncio's scheduling calls: call_soon, call_later, call_at, call_soon_threadsafe.

In debug mode the handles are asyncio's own, and so is everything they report.
"""

from cpython.contextvars cimport PyContext_CopyCurrent
from cpython.object cimport PyObject
from libc.math cimport INFINITY, isnan

from aioadapt._kernel.collector cimport PyTypeObject, traverseproc, visitproc
from aioadapt._kernel.linux cimport now_ns
from aioadapt._loop.core cimport LoopCore
from aioadapt._loop.counters cimport counts_by_name
from aioadapt._loop.handle cimport Handle, TimerHandle, new_handle
from aioadapt._loop.inbox cimport Queue
from aioadapt._loop.moving cimport MovingCore

from asyncio import events
from collections import deque
from time import get_clock_info

from aioadapt.errors import LoopStoppedError
from aioadapt.stdlib_private import report_slow

cdef object as_deque = deque         # module globals are gone at interpreter exit
cdef double CLOCK_RESOLUTION_S = get_clock_info("monotonic").resolution


cdef class SchedulingCore(MovingCore):
    """See the top of this file."""

    def call_soon(self, callback, *args, context=None):
        """Run *callback* in the next iteration; see asyncio's documentation."""
        cdef Handle handle
        if self._closed:
            self.check_open()
        if self._debug:
            self._check_thread()
            self.check_call(callback, "call_soon")
            self.take_calls()
            foreign = events.Handle(callback, args, self, context)
            self.push_ready(foreign)
            return foreign
        handle = new_handle(self, callback, args, context)
        if self.inbox.has_calls():
            # They were scheduled first, whether from another thread or this one.
            self.take_calls()
        self.push_ready(handle)
        return handle

    def call_soon_threadsafe(self, callback, *args, context=None):
        """Like ``call_soon``, from any thread or signal handler."""
        self.check_open()
        if self._debug:
            self.check_call(callback, "call_soon_threadsafe")
            handle = events.Handle(callback, args, self, context)
        else:
            handle = new_handle(self, callback, args, context)
        if not self.inbox.put_call(handle):
            raise RuntimeError("Event loop is closed")
        return handle

    def call_later(self, delay, callback, *args, context=None):
        """Run *callback* in *delay* seconds; see asyncio's documentation."""
        if delay is None:
            raise TypeError("delay must not be None")
        self.check_open()
        if self._debug:
            self._check_thread()
            self.check_call(callback, "call_at")
        return self.new_timer(self.now_s() + delay, callback, args, context)

    def call_at(self, when, callback, *args, context=None):
        """Run *callback* when ``loop.time()`` is *when*; see asyncio's documentation."""
        if when is None:
            raise TypeError("when cannot be None")
        self.check_open()
        if self._debug:
            self._check_thread()
            self.check_call(callback, "call_at")
        return self.new_timer(when, callback, args, context)

    cdef object new_timer(self, object when, object callback, tuple args, object context):
        cdef TimerHandle timer
        cdef double given_s = when
        # In asyncio a timer due at NaN is due immediately: no time compares less.
        cdef double due_s = -INFINITY if isnan(given_s) else given_s
        if self._debug:
            foreign = events.TimerHandle(when, callback, args, self, context)
            foreign._scheduled = True
            self.timers.add(due_s, foreign)
            return foreign
        timer = TimerHandle.__new__(TimerHandle)
        timer.loop = self
        timer.callback = callback
        timer.args = args
        timer.context = PyContext_CopyCurrent() if context is None else context
        timer.due_s = given_s
        if type(when) is not float:
            timer.given = when
        self.timers.add(due_s, timer)
        return timer

    cdef int run_due_timers(self, double now_s, unsigned long long newest) except -1:
        """Run the timers due now that were set before this iteration, up to *newest*."""
        cdef double due_s, end_s = now_s + CLOCK_RESOLUTION_S
        cdef list due = self.due_timers
        cdef list newer = None
        cdef object timer = None
        while self.timers.count and self.timers.heap[0].due_s < end_s:
            if self.timers.heap[0].sequence > newest:
                due_s = self.timers.heap[0].due_s
                newer = newer or []
                newer.append((due_s, self.timers.take_first()))
                continue
            if timer is not None:
                due.append(timer)
            timer = self.timers.take_first()
            if type(timer) is not TimerHandle:
                timer._scheduled = False
            self.counted.timers += 1
        if newer is not None:
            for due_s, later in newer:
                self.timers.add(due_s, later)
        if timer is None:
            return 0
        if not due:
            return self.run_handle(timer)     # as nearly always
        due.append(timer)
        due.reverse()
        try:
            while due:
                self.run_handle(due.pop())
        except BaseException:
            # A KeyboardInterrupt ends the run; the others run when the loop does again.
            while due:
                self.push_ready(due.pop())
            raise
        return 0

    cdef int run_foreign(self, object handle) except -1:
        """One of asyncio's own handles: signals, and everything in debug mode."""
        if handle._cancelled:
            return 0
        if not self._debug:
            handle._run()
            return 0
        self._current_handle = handle
        started = now_ns()
        try:
            handle._run()
            took_s = (now_ns() - started) * 1e-9
            if took_s >= self.slow_callback_duration:
                report_slow(handle, took_s)
        finally:
            self._current_handle = None
        return 0

    def _timer_handle_cancelled(self, handle):
        cdef Py_ssize_t place
        if type(handle) is TimerHandle:
            place = (<TimerHandle> handle).place
            if place >= 0:
                self.timers.remove(place)

    def time(self):
        """Seconds on the monotonic clock."""
        return now_ns() * 1e-9

    @property
    def _ready(self):
        """A snapshot of the ready callbacks, under asyncio's name for them."""
        cdef Py_ssize_t i
        return as_deque([
            <object> self.ready[(self.first_ready + i) & (self.ready_room - 1)]
            for i in range(self.ready_count)])

    @_ready.setter
    def _ready(self, value):
        """Ignored: asyncio's constructor sets its own deque, which stays empty."""

    @property
    def _scheduled(self):
        """A snapshot of the timers, soonest first."""
        return self.timers.in_order()

    @_scheduled.setter
    def _scheduled(self, value):
        pass

    def _add_callback(self, handle):
        if not handle._cancelled:
            self.push_ready(handle)

    def _write_to_self(self):
        self.inbox.wake_up()

    cdef int check_call(self, object callback, str method) except -1:
        self._check_callback(callback, method)
        return 0

    def post(self, message):
        """Have ``message.deliver()`` called on the loop's thread; from any thread.

        If the loop closes before that, ``message.refuse()`` is called instead.

        Raises:
            LoopStoppedError: the inbox is closed; neither method will be called.
        """
        if not self.inbox.put_message(message):
            raise LoopStoppedError(f"{self!r} accepts no more messages: it has stopped")

    def close_inbox(self):
        """Accept nothing more from other threads and refuse the messages waiting."""
        for message in self.inbox.close():
            message.refuse()

    def _count(self):
        """The counters common to all engines."""
        counts = counts_by_name(&self.counted)
        counts["connections"] = len(self.streams_by_fd)
        return counts


# Handles waiting to run refer to their loop, and they are kept in memory that the
# garbage collector does not traverse by itself.  Without this, a loop that is
# dropped without being closed is never collected, and its ResourceWarning never
# shown.  Each of these cycles goes through a handle, and clearing the handle breaks it.

cdef traverseproc traverse_members = (<PyTypeObject *> SchedulingCore).tp_traverse


cdef int traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef int result = traverse_members(self, visit, arg)
    if result:
        return result
    return visit_waiting(<void *> self, visit, arg)


cdef int visit_waiting(void *self, visitproc visit, void *arg) noexcept:
    cdef LoopCore core = <LoopCore> self
    cdef Py_ssize_t i
    cdef int result
    for i in range(core.ready_count):
        result = visit(core.ready[(core.first_ready + i) & (core.ready_room - 1)], arg)
        if result:
            return result
    if core.timers is not None:
        for i in range(core.timers.count):
            result = visit(core.timers.heap[i].handle, arg)
            if result:
                return result
    if core.inbox is not None:
        # No lock: a thread that holds it also holds the GIL, so none does now.
        result = visit_queue(&core.inbox.calls, visit, arg)
        if result:
            return result
        return visit_queue(&core.inbox.messages, visit, arg)
    return 0


cdef int visit_queue(Queue *queue, visitproc visit, void *arg) noexcept:
    cdef Py_ssize_t i
    cdef int result
    for i in range(queue.count):
        result = visit(queue.items[i], arg)
        if result:
            return result
    return 0


(<PyTypeObject *> SchedulingCore).tp_traverse = traverse

"""One iteration of a loop, in one fixed order.

1. reap       completions or readiness reports from the kernel; the only step that
              sleeps
2. run        callbacks that were ready, and calls from other threads
3. dispatch   what was reaped: protocols get their bytes, readers are called
4. timers     run the ones that are due
5. run        callbacks added by 3 and 4, if 2 added none; and once more, if now only
              accepted connections wait for connection_made
6. end        arm what has to be armed, release connections that are to move and
              are quiet

What a callback writes is gathered and sent when that callback ends.

The order of 2, 3 and 4 is asyncio's, and programs rely on it without knowing:
a callback scheduled before bytes arrived runs before the protocol sees them.
Step 5 is asyncio's next iteration, started without polling the kernel first: a
task that waits for bytes answers in the iteration in which they arrive.  If 2
added callbacks, they wait for the next iteration, and so does anything added by
3 and 4, which is queued behind them.

LoopCore is the base of a Python class whose second base is asyncio's selector
loop, so everything not defined here is asyncio's own code.  State that asyncio's
code reads and writes has asyncio's names.
"""

from cpython.contextvars cimport PyContext_Exit
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from libc.math cimport INFINITY

from aioadapt._kernel.forks cimport forks
from aioadapt._kernel.linux cimport now_ns
from aioadapt._loop.handle cimport Handle, enter_context, new_handle
from aioadapt._loop.hooks cimport HookQueue
from aioadapt._loop.inbox cimport Inbox
from aioadapt._loop.timers cimport Timers

import os
from asyncio.events import _get_running_loop

from aioadapt.errors import ForkedLoopError

cdef enum:
    EVENTS_PER_ITERATION = 1024     # a guess; the rest is reaped in the next iteration
    # While connections move, the other loop's thread waits for this one to
    # finish its iteration: 16 small requests take about a millisecond.
    EVENTS_PER_SHORT_ITERATION = 16

# asyncio's MAXIMUM_SELECT_TIMEOUT: a day.
cdef double LONGEST_WAIT_S = 24 * 3600


cdef class LoopCore:
    """See the top of this file."""

    def __cinit__(self, *args, **kwargs):
        self.timers = Timers()
        self.inbox = Inbox()
        self.is_parked = True
        self.flush_queue = HookQueue()
        self.end_queue = HookQueue()
        self.due_timers = []
        self.streams_by_fd = {}
        self.listeners = {}
        self.waiting_for_fd = []
        self.fork_generation = forks
        self.ready_room = 256
        self.ready = <PyObject **> PyMem_Malloc(self.ready_room * sizeof(PyObject *))
        if self.ready == NULL:
            raise MemoryError

    def __dealloc__(self):
        while self.ready_count:
            self.ready_count -= 1
            Py_DECREF(<object> self.ready[self.first_ready])
            self.first_ready = (self.first_ready + 1) & (self.ready_room - 1)
        PyMem_Free(self.ready)
        PyMem_Free(self.read_buffer)

    cdef char *buffer_to_read(self) except NULL:
        """READ_BYTES for one recv(2); what it holds is copied before the next one."""
        if self.read_buffer == NULL:
            self.read_buffer = <char *> PyMem_Malloc(READ_BYTES)
            if self.read_buffer == NULL:
                raise MemoryError
        return self.read_buffer

    cdef int engine_starts(self) except -1:
        """The loop is about to run on this thread."""
        raise NotImplementedError

    cdef int engine_pauses(self) except -1:
        """The loop has stopped running; it may run again."""
        return 0

    cdef int reap(self, long long timeout_ns, int at_most) except -1:
        """Wait (-1: forever; 0: not at all) and take what the kernel has.  Runs nothing."""
        raise NotImplementedError

    cdef bint dispatch_next(self) except -1:
        """Run one reaped completion or report; False when none is left."""
        raise NotImplementedError

    cdef int submit_new(self) except -1:
        """Only submit new operations: what was reaped before has yet to run."""
        return 0

    cdef int finish_cancels(self) except -1:
        """Make this iteration's cancels take effect before it ends."""
        return 0

    cdef bint has_reaped(self) noexcept:
        return False

    def _run_once(self):
        """One iteration; when called from ``run_forever``, all of them until ``stop``.

        Programs with an outer loop of their own, such as a GUI's that uses
        asyncio's _run_forever_setup (3.13), call it once per iteration.
        """
        cdef bint until_stopped = self._until_stopped
        self._until_stopped = False
        self.check_not_forked()
        if not self.is_parked:
            self.run_nested()
            return
        self.is_parked = False
        try:
            self.engine_starts()
        except BaseException:
            # There may be no ring: nothing may be begun on it.
            self.is_parked = True
            raise
        self.awake_since_ns = now_ns()
        try:
            while True:
                self.run_iteration()
                if self._stopping or not until_stopped:
                    break
        finally:
            # After a SystemExit, say: what was written before it.
            self.is_gathering = False
            self.flush_queue.run()
            self.is_parked = True
            self.engine_pauses()

    cdef int run_nested(self) except -1:
        """One iteration in the middle of another: a callback runs the loop."""
        cdef char *in_use = self.read_buffer
        self.flush_queue.run()
        # The inner run may wait for one of them.
        while self.due_timers:
            self.push_ready(self.due_timers.pop())
        self.read_buffer = NULL
        try:
            self.run_iteration()
        finally:
            PyMem_Free(self.read_buffer)
            self.read_buffer = in_use
            self.is_gathering = True
        return 0

    cdef int run_iteration(self) except -1:
        cdef long long timeout_ns = -1
        cdef long long now, asleep_at
        cdef double wait_s, now_s
        cdef unsigned long long newest_timer
        cdef int at_most = EVENTS_PER_ITERATION
        cdef int events = 0
        cdef bint nothing_was_added
        asleep_at = now_ns()
        if (
            self.ready_count or self._stopping or self.end_queue.first is not None
            or self.must_turn or self.has_reaped()
        ):
            timeout_ns = 0
        elif self.timers.count:
            wait_s = self.timers.heap[0].due_s - self.now_s()
            if wait_s <= 0:
                timeout_ns = 0
            else:
                timeout_ns = <long long> (min(wait_s, LONGEST_WAIT_S) * 1e9) + 1
        if timeout_ns != 0 and not self.inbox.try_park():
            timeout_ns = 0
        self.counted.iterations += 1
        self.counted.busy_ns += asleep_at - self.awake_since_ns
        if not self.has_reaped():
            if forks != self.fork_generation:
                self.check_not_forked()
            if timeout_ns != 0:
                # A signal since the last callback is handled now, not after the sleep.
                PyErr_CheckSignals()
            if self.is_awaited():
                at_most = EVENTS_PER_SHORT_ITERATION
            self.reap(timeout_ns, at_most)
        else:
            self.submit_new()
        self.inbox.unpark()
        now = now_ns()
        self.awake_since_ns = self.flushed_at_ns = now
        self.is_gathering = True

        self.take_calls()
        if self.inbox.has_messages():
            self.deliver_messages()
        now_s = self.now_s() if self.timers.count else -INFINITY
        newest_timer = self.timers.sequence
        self.run_ready()
        nothing_was_added = self.ready_count == 0
        while self.dispatch_next():
            self.counted.events += 1
            events += 1
            if self.flush_queue.first is not None:
                self.flush_queue.run()
            if self.inbox.has_messages():
                self.deliver_messages()
            # Latency mode may have started meanwhile; the rest runs in the next
            # iteration.
            if events >= EVENTS_PER_SHORT_ITERATION and self.is_awaited():
                break
        if self.timers.count:
            self.run_due_timers(now_s, newest_timer)
        if nothing_was_added and not self._stopping:
            self.run_ready()
            if self.accept_steps and self.accept_steps == self.ready_count:
                if not self._stopping:
                    self.run_ready()
        self.end_iteration()
        self.is_gathering = False
        self.iteration += 1
        return 0

    cdef int take_calls(self) except -1:
        cdef list handles = self.inbox.take_calls()
        if handles is not None:
            for handle in handles:
                self.push_ready(handle)
        return 0

    cdef int deliver_messages(self) except -1:
        """Called between two callbacks: another thread is waiting for it."""
        cdef list messages = self.inbox.take_messages()
        cdef Py_ssize_t taken = 0
        if messages is not None:
            try:
                for message in messages:
                    taken += 1
                    new_handle(self, message.deliver, (), None).run()
                    if self.flush_queue.first is not None:
                        self.flush_queue.run()
            except BaseException:
                # A KeyboardInterrupt ends the run; the remaining messages wait
                # until the loop runs again or closes.
                self.put_back(messages[taken:])
                raise
        return 0

    cdef int put_back(self, list messages) except -1:
        if not self.inbox.put_back_messages(messages):
            for message in messages:
                message.refuse()
        return 0

    cdef double now_s(self) except? -1:
        """``loop.time()``, which tests replace to make hours pass instantly."""
        return self.time()

    cdef int run_due_timers(self, double now_s, unsigned long long newest) except -1:
        raise NotImplementedError

    cdef int push_ready(self, object handle) except -1:
        cdef PyObject **larger
        cdef Py_ssize_t i
        if self.ready_count == self.ready_room:
            larger = <PyObject **> PyMem_Malloc(2 * self.ready_room * sizeof(PyObject *))
            if larger == NULL:
                raise MemoryError
            for i in range(self.ready_count):
                larger[i] = self.ready[(self.first_ready + i) & (self.ready_room - 1)]
            PyMem_Free(self.ready)
            self.ready = larger
            self.ready_room *= 2
            self.first_ready = 0
        Py_INCREF(handle)
        self.ready[(self.first_ready + self.ready_count) & (self.ready_room - 1)] = (
            <PyObject *> handle)
        self.ready_count += 1
        return 0

    cdef int schedule(self, object callback, tuple args, object context) except -1:
        """call_soon, for transports."""
        return self.schedule_handle(new_handle(self, callback, args, context))

    cdef int schedule_handle(self, object handle) except -1:
        """It runs behind what call_soon_threadsafe was given before."""
        if self.inbox.has_calls():
            self.take_calls()
        return self.push_ready(handle)

    cdef object take_newest(self):
        """The handle that was scheduled last."""
        cdef object handle
        cdef Py_ssize_t end = self.first_ready + self.ready_count
        self.ready_count -= 1
        handle = <object> self.ready[(end - 1) & (self.ready_room - 1)]
        Py_DECREF(handle)             # the local variable holds a reference now
        return handle

    cdef int when_fd_is_freed(self, object callback) except -1:
        """Call it soon after the loop has closed the descriptor of a transport."""
        if callback not in self.waiting_for_fd:
            self.waiting_for_fd.append(callback)
        return 0

    cdef int fd_freed(self) except -1:
        callbacks, self.waiting_for_fd = self.waiting_for_fd, []
        for callback in callbacks:
            self.schedule(callback, (), None)
        return 0

    cdef int run_ready(self) except -1:
        cdef Py_ssize_t to_run = self.ready_count
        cdef object item
        while to_run > 0 and self.ready_count > 0:
            to_run -= 1
            item = <object> self.ready[self.first_ready]
            Py_DECREF(item)           # the local variable holds a reference now
            self.first_ready = (self.first_ready + 1) & (self.ready_room - 1)
            self.ready_count -= 1
            self.run_handle(item)
        return 0

    cdef int run_handle(self, object item) except -1:
        """Run a handle: one of our own, or one of asyncio's."""
        cdef Handle handle
        self.counted.callbacks += 1
        if isinstance(item, Handle):
            handle = <Handle> item
            if not handle.is_cancelled:
                handle.run()
                if self.flush_queue.first is not None:
                    self.flush_in(handle.context)
        else:
            self.run_foreign(item)
            if self.flush_queue.first is not None:
                self.flush_in(item._context)
        if self.inbox.has_messages():
            self.deliver_messages()
        return 0

    cdef int run_foreign(self, object handle) except -1:
        raise NotImplementedError

    cdef int end_iteration(self) except -1:
        if self.end_queue.first is not None:
            self.end_queue.run_once()
        self.must_turn = False
        return 0

    cdef bint is_awaited(self) noexcept:
        """Is another thread waiting for this iteration to end?"""
        return False

    cdef int flush_in(self, object context) except -1:
        """Send what the callback has written, as if it did so itself."""
        cdef bint entered = enter_context(context)
        try:
            return self.flush_queue.run()
        finally:
            if entered:
                PyContext_Exit(context)

    cdef int check_open(self) except -1:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        return 0

    def _is_forked_copy(self):
        return forks != self.fork_generation

    cdef int check_not_forked(self) except -1:
        if forks != self.fork_generation:
            raise ForkedLoopError(
                "this loop was made before a fork and cannot be used in the child: its "
                "kernel objects belong to the parent. Make a new loop in the child, or "
                "start the child with the 'spawn' method")
        return 0

    def _drop_everything(self):
        """Drop ready callbacks and timers; the loop is closing."""
        self.timers.clear()
        self.due_timers.clear()
        while self.ready_count:
            item = <object> self.ready[self.first_ready]
            Py_DECREF(item)
            self.first_ready = (self.first_ready + 1) & (self.ready_room - 1)
            self.ready_count -= 1
        self.accept_steps = 0
        self.flush_queue.clear()
        self.end_queue.clear()
        self.waiting_for_fd.clear()

    def _close_wakeup(self):
        """The engine no longer waits, so nothing has to wake it."""
        self.inbox.close_wakeup()


def _send_before_fork():
    """What the forking callback has written: both processes have a copy of it."""
    loop = _get_running_loop()
    if isinstance(loop, LoopCore):
        (<LoopCore> loop).flush_queue.run()


os.register_at_fork(before=_send_before_fork)

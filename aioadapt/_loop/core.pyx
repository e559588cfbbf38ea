"""One iteration of a loop, in one fixed order.

1. reap       completions or readiness reports from the kernel; the only step that
              sleeps
2. run        callbacks that were ready, and calls from other threads
3. dispatch   what was reaped: protocols get their bytes, readers are called
4. timers     run the ones that are due
5. run        callbacks added by 3 and 4, if 2 added none
6. end        send what was written in this iteration, arm what has to be armed,
              release connections that are to move and are quiet

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

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from posix.unistd cimport usleep

from aioadapt._kernel.forks cimport forks
from aioadapt._kernel.linux cimport now_ns
from aioadapt._loop.handle cimport Handle, new_handle
from aioadapt._loop.inbox cimport Inbox
from aioadapt._loop.timers cimport Timers

from aioadapt.errors import ForkedLoopError

cdef enum:
    EVENTS_PER_ITERATION = 1024     # a guess; the rest is reaped in the next iteration
    # While connections move, the other loop's thread waits for this one to
    # finish its iteration: 16 small requests take about a millisecond.
    EVENTS_PER_SHORT_ITERATION = 16
    # A guess: a few iterations of both loops.  More messages usually follow soon.
    LATENCY_MODE_NS = 20_000_000
    YIELD_US = 20            # long enough for a thread to wake and take the GIL
    YIELD_TO_AT_MOST_US = 1000      # a guess: longer than nearly every callback

# asyncio's MAXIMUM_SELECT_TIMEOUT: a day.
cdef double LONGEST_WAIT_S = 24 * 3600


cdef class FlushHook:
    """Something to do once when the iteration ends, however often it is queued."""

    cdef int flush(self) except -1:
        raise NotImplementedError


cdef class Detachable(FlushHook):
    """A stream that is to be released: tried at the end of each iteration until done."""

    cdef bint could_release(self) noexcept:
        """Is it quiet, and not settling yet?"""
        raise NotImplementedError

    cdef ReleaseStep release_if_quiet(self) except RELEASE_RAISED:
        raise NotImplementedError


cdef class LoopCore:
    """See the top of this file."""

    def __cinit__(self, *args, **kwargs):
        self.timers = Timers()
        self.inbox = Inbox()
        self.flush_queue = []
        self.release_queue = []
        self.streams_by_fd = {}
        self.listeners = {}
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
        self.engine_starts()
        self.awake_since_ns = now_ns()
        try:
            while True:
                self.run_iteration()
                if self._stopping or not until_stopped:
                    break
        finally:
            self.engine_pauses()

    cdef int run_iteration(self) except -1:
        cdef long long timeout_ns = -1
        cdef long long now, asleep_at
        cdef double wait_s, now_s
        cdef int at_most = EVENTS_PER_ITERATION
        cdef int events = 0
        cdef bint nothing_was_added
        asleep_at = now_ns()
        if (
            self.ready_count or self._stopping or self.flush_queue or self.is_settling
            or self.has_reaped()
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
            if self.in_latency_mode():
                at_most = EVENTS_PER_SHORT_ITERATION
            self.reap(timeout_ns, at_most)
        else:
            self.submit_new()
        self.inbox.unpark()
        now = now_ns()
        self.awake_since_ns = now

        self.take_calls()
        if self.inbox.has_messages():
            self.deliver_messages()
        now_s = self.now_s() if self.timers.count else now * 1e-9
        self.run_ready()
        nothing_was_added = self.ready_count == 0
        while self.dispatch_next():
            self.counted.events += 1
            events += 1
            if self.inbox.has_messages():
                self.deliver_messages()
            # Latency mode may have started meanwhile; the rest runs in the next
            # iteration.
            if events >= EVENTS_PER_SHORT_ITERATION and self.in_latency_mode():
                break
        if self.timers.count:
            self.run_due_timers(now_s)
        if nothing_was_added and not self._stopping:
            self.run_ready()
        self.end_iteration()
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

    cdef int run_due_timers(self, double now_s) except -1:
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
        else:
            self.run_foreign(item)
        if self.inbox.has_messages():
            self.deliver_messages()
        return 0

    cdef int run_foreign(self, object handle) except -1:
        raise NotImplementedError

    cdef int end_iteration(self) except -1:
        if self.flush_queue:
            self.run_flush_queue()
        self.is_settling = False
        if self.release_queue:
            self.release_quiet()
        elif self.yielding_to is None and self.awake_since_ns < self.latency_mode_until_ns:
            # The other loop may have read its messages late and be waiting for us.
            self.yield_gil()
        if self.yielding_to is not None:
            self.yield_to_other()
        return 0

    cdef void yield_gil(self) noexcept:
        """Let a waiting thread take the GIL."""
        with nogil:
            usleep(YIELD_US)

    cdef bint in_latency_mode(self) noexcept:
        """Is another thread waiting for this iteration to end?"""
        return len(self.release_queue) != 0 or self.awake_since_ns < self.latency_mode_until_ns

    cdef int release_quiet(self) except -1:
        """Stop reading, settle for an iteration, release: all in this call if possible.

        Settling is an iteration that neither waits nor takes new events: it lets
        the host server's own tasks finish.  Another thread may be waiting for the
        GIL, so this one yields it before any stream stops reading.  Then the other
        thread does not have to run while streams are not read.
        """
        if self.any_could_release():
            self.yield_gil()
            self.run_release_queue(False)
        try:
            if self.any_settling():
                self.finish_cancels()
                self.run_ready()
                if self.flush_queue:
                    self.run_flush_queue()
                self.iteration += 1
                self.run_release_queue(True)
        finally:
            self.is_settling = self.any_settling()
        return 0

    cdef bint any_could_release(self) noexcept:
        cdef Detachable stream
        for stream in self.release_queue:
            if stream.could_release():
                return True
        return False

    cdef bint any_settling(self) noexcept:
        cdef Detachable stream
        for stream in self.release_queue:
            if stream.is_settling:
                return True
        return False

    cdef int yield_to_other(self) except -1:
        cdef Inbox inbox = self.yielding_to
        self.yielding_to = None
        with nogil:
            inbox.yield_until_taken(YIELD_TO_AT_MOST_US)
        return 0

    cdef int run_flush_queue(self) except -1:
        cdef FlushHook hook
        cdef Py_ssize_t i = 0
        cdef list queue = self.flush_queue
        self.flush_queue = []
        try:
            while i < len(queue):
                hook = <FlushHook> queue[i]
                i += 1
                hook.is_queued = False
                hook.flush()
        except BaseException:
            # A KeyboardInterrupt ends the run; the others stay queued.
            self.flush_queue = queue[i:] + self.flush_queue
            raise
        return 0

    cdef int run_release_queue(self, bint only_settling) except -1:
        cdef Detachable stream
        cdef Py_ssize_t i = 0
        cdef list release_queue = self.release_queue
        cdef object full_group = None
        cdef ReleaseStep state
        self.release_queue = []
        try:
            while i < len(release_queue):
                stream = <Detachable> release_queue[i]
                i += 1
                if not stream.is_settling and (
                        only_settling or stream.admission_group is full_group is not None):
                    self.release_queue.append(stream)
                    continue
                state = stream.release_if_quiet()
                if state != RELEASE_OVER:
                    self.release_queue.append(stream)
                if state == NOT_ADMITTED:
                    # With hundreds of streams, asking for each one takes milliseconds.
                    full_group = stream.admission_group
        except BaseException:
            self.release_queue.extend(release_queue[i - 1:])
            raise
        return 0

    cdef int queue_release(self, Detachable stream) except -1:
        if not stream.is_release_queued:
            stream.is_release_queued = True
            self.release_queue.append(stream)
        return 0

    def yield_to(self, LoopCore other):
        """When this iteration ends, yield the GIL until *other* has taken its messages.

        Call it on this loop's thread, after posting a message that a connection
        is waiting for.  It yields for a millisecond at most.  It also puts this
        loop into latency mode: its next iterations are short, so that the other
        loop does not wait long for it.
        """
        if other is not self:
            self.yielding_to = other.inbox
            self.latency_mode_until_ns = now_ns() + LATENCY_MODE_NS

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
        while self.ready_count:
            item = <object> self.ready[self.first_ready]
            Py_DECREF(item)
            self.first_ready = (self.first_ready + 1) & (self.ready_room - 1)
            self.ready_count -= 1
        self.flush_queue.clear()
        self.release_queue.clear()

    def _close_wakeup(self):
        """The engine no longer waits, so nothing has to wake it."""
        self.inbox.close_wakeup()

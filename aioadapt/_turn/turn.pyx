"""One turn of a loop, in one fixed order.

1. collect    what the kernel has for us; the only place that sleeps
2. run        the callbacks that were ready, and the calls from other threads
3. dispatch   what was collected: protocols get their bytes, readers are called
4. time       the timers that are due
5. run        what 3 and 4 have added, if 2 has added nothing
6. end        send what was written in this turn, arm what is to be armed,
              let go of connections that are to move and are quiet

2, 3 and 4 are asyncio's order, which programs rely on without knowing: what
was scheduled before bytes came runs before the protocol hears of them.  5 is
asyncio's next iteration, begun without asking the kernel in between: a task
that waits for bytes answers in the turn in which they come.  What 2 has added
waits for the next turn, as its place is in front of what 3 has added.

Turn is the base of a Python class whose second base is asyncio's selector
loop, so everything that is not named here is asyncio's own code.  The state
that asyncio's code reads and writes has asyncio's names.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from posix.unistd cimport usleep

from aioadapt._kernel.forks cimport forks
from aioadapt._kernel.linux cimport now_ns
from aioadapt._turn.handle cimport Handle, new_handle
from aioadapt._turn.inbox cimport Inbox
from aioadapt._turn.timers cimport Timers

from aioadapt.errors import ForkedLoopError

cdef enum:
    EVENTS_A_TURN = 1024     # a guess; what is left is collected in the next turn
    # While connections move, the thread of the other loop waits for this one
    # to finish its turn: 16 small requests are about a millisecond.
    EVENTS_A_SHORT_TURN = 16
    HURRY_NS = 20_000_000    # a guess, some turns of both: more is soon to come
    YIELD_US = 20            # long enough for a thread to wake and take the GIL
    STAND_BACK_US = 1000     # a guess: longer than nearly every callback

# asyncio's MAXIMUM_SELECT_TIMEOUT: a day.
cdef double LONGEST_WAIT_S = 24 * 3600


cdef class EndOfTurn:
    """Something to be done once when the turn ends, however often it is asked for."""

    cdef int turn_ends(self) except -1:
        raise NotImplementedError


cdef class Leaver(EndOfTurn):
    """A stream that is to move: asked at the end of every turn until it is over."""

    cdef bint could_leave(self) noexcept:
        """Is it quiet, and not resting yet?"""
        raise NotImplementedError

    cdef Leaving leave_if_quiet(self) except LEAVING_RAISED:
        raise NotImplementedError


cdef class Turn:
    """See the file's beginning."""

    def __cinit__(self, *args, **kwargs):
        self.timers = Timers()
        self.inbox = Inbox()
        self.ending = []
        self.leavers = []
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

    cdef int collect(self, long long timeout_ns, int at_most) except -1:
        raise NotImplementedError

    cdef bint dispatch_next(self) except -1:
        """Run one thing that was collected; False when nothing is left."""
        raise NotImplementedError

    cdef int go_on(self) except -1:
        """What was collected has still to run: only let the kernel begin what is new."""
        return 0

    cdef int settle_cancels(self) except -1:
        """Let the cancels of this turn take effect before it ends."""
        return 0

    cdef bint has_collected(self) noexcept:
        return False

    def _run_once(self):
        """One turn; or all until ``stop``, if it is ``run_forever`` that calls.

        Programs that have their own outer loop (a GUI's, say, with asyncio's
        _run_forever_setup of 3.13) call it turn by turn.
        """
        cdef bint until_stopped = self._until_stopped
        self._until_stopped = False
        self.check_not_forked()
        self.engine_starts()
        self.awake_since_ns = now_ns()
        try:
            while True:
                self.run_turn()
                if self._stopping or not until_stopped:
                    break
        finally:
            self.engine_pauses()

    cdef int run_turn(self) except -1:
        cdef long long timeout_ns = -1
        cdef long long now, asleep_at
        cdef double wait_s, now_s
        cdef int at_most = EVENTS_A_TURN
        cdef int events = 0
        cdef bint nothing_was_added
        asleep_at = now_ns()
        if (
            self.ready_count or self._stopping or self.ending or self.is_resting
            or self.has_collected()
        ):
            timeout_ns = 0
        elif self.timers.count:
            wait_s = self.timers.heap[0].due_s - self.now_s()
            if wait_s <= 0:
                timeout_ns = 0
            else:
                timeout_ns = <long long> (min(wait_s, LONGEST_WAIT_S) * 1e9) + 1
        if timeout_ns != 0 and not self.inbox.lie_down():
            timeout_ns = 0
        self.counted.turns += 1
        self.counted.busy_ns += asleep_at - self.awake_since_ns
        if not self.has_collected():
            if forks != self.fork_generation:
                self.check_not_forked()
            if timeout_ns != 0:
                # One that came since the last callback would be slept over.
                PyErr_CheckSignals()
            if self.hurries():
                at_most = EVENTS_A_SHORT_TURN
            self.collect(timeout_ns, at_most)
        else:
            self.go_on()
        self.inbox.wake()
        now = now_ns()
        self.awake_since_ns = now

        self.take_calls()
        if self.inbox.has_letters():
            self.open_letters()
        now_s = self.now_s() if self.timers.count else now * 1e-9
        self.run_ready()
        nothing_was_added = self.ready_count == 0
        while self.dispatch_next():
            self.counted.events += 1
            events += 1
            if self.inbox.has_letters():
                self.open_letters()
            # It may have begun as a long one; the rest runs in the next turn.
            if events >= EVENTS_A_SHORT_TURN and self.hurries():
                break
        if self.timers.count:
            self.run_due_timers(now_s)
        if nothing_was_added and not self._stopping:
            self.run_ready()
        self.end_turn()
        self.number += 1
        return 0

    cdef int take_calls(self) except -1:
        cdef list handles = self.inbox.take_calls()
        if handles is not None:
            for handle in handles:
                self.push_ready(handle)
        return 0

    cdef int open_letters(self) except -1:
        """Between two callbacks: somebody waits for this."""
        cdef list messages = self.inbox.take_letters()
        cdef Py_ssize_t opened = 0
        if messages is not None:
            try:
                for message in messages:
                    opened += 1
                    new_handle(self, message.deliver, (), None).run()
            except BaseException:
                # A KeyboardInterrupt leaves the loop; the others wait for it
                # to run again, or to close.
                self.put_back(messages[opened:])
                raise
        return 0

    cdef int put_back(self, list messages) except -1:
        if not self.inbox.put_back_letters(messages):
            for message in messages:
                message.refuse()
        return 0

    cdef double now_s(self) except? -1:
        """What ``loop.time()`` says: tests replace it, so that hours pass at once."""
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
            Py_DECREF(item)           # the local name holds it now
            self.first_ready = (self.first_ready + 1) & (self.ready_room - 1)
            self.ready_count -= 1
            self.run_handle(item)
        return 0

    cdef int run_handle(self, object item) except -1:
        """In its place: one of ours, or one of asyncio's own."""
        cdef Handle handle
        self.counted.callbacks += 1
        if isinstance(item, Handle):
            handle = <Handle> item
            if not handle.is_cancelled:
                handle.run()
        else:
            self.run_foreign(item)
        if self.inbox.has_letters():
            self.open_letters()
        return 0

    cdef int run_foreign(self, object handle) except -1:
        raise NotImplementedError

    cdef int end_turn(self) except -1:
        if self.ending:
            self.run_ending()
        self.is_resting = False
        if self.leavers:
            self.let_go_of_the_quiet()
        elif self.running_next is None and self.awake_since_ns < self.hurries_until_ns:
            # The other may have come to its letters late, and wait for us now.
            self.give_way()
        if self.running_next is not None:
            self.let_other_run()
        return 0

    cdef void give_way(self) noexcept:
        """Let a thread have the GIL that waits for it."""
        with nogil:
            usleep(YIELD_US)

    cdef bint hurries(self) noexcept:
        """Does another thread wait for our turn to end?"""
        return len(self.leavers) != 0 or self.awake_since_ns < self.hurries_until_ns

    cdef int let_go_of_the_quiet(self) except -1:
        """Stop reading, rest for a turn, release: in one go where that can be.

        The rest is a turn without waiting and without new events: the guests'
        own tasks come to rest.  Under the GIL another thread may be waiting
        for this one to be interrupted.  It runs before anything stops, so
        that it need not run in between.
        """
        if self.leavers_could_leave():
            self.give_way()
            self.run_leavers(False)
        try:
            if self.leavers_rest():
                self.settle_cancels()
                self.run_ready()
                if self.ending:
                    self.run_ending()
                self.number += 1
                self.run_leavers(True)
        finally:
            self.is_resting = self.leavers_rest()
        return 0

    cdef bint leavers_could_leave(self) noexcept:
        cdef Leaver leaver
        for leaver in self.leavers:
            if leaver.could_leave():
                return True
        return False

    cdef bint leavers_rest(self) noexcept:
        cdef Leaver leaver
        for leaver in self.leavers:
            if leaver.is_resting:
                return True
        return False

    cdef int let_other_run(self) except -1:
        cdef Inbox inbox = self.running_next
        self.running_next = None
        with nogil:
            inbox.let_run(STAND_BACK_US)
        return 0

    cdef int run_ending(self) except -1:
        cdef EndOfTurn what
        cdef Py_ssize_t i = 0
        cdef list ending = self.ending
        self.ending = []
        try:
            while i < len(ending):
                what = <EndOfTurn> ending[i]
                i += 1
                what.is_queued = False
                what.turn_ends()
        except BaseException:
            # A KeyboardInterrupt leaves the loop; the others are still queued.
            self.ending = ending[i:] + self.ending
            raise
        return 0

    cdef int run_leavers(self, bint only_resting) except -1:
        cdef Leaver leaver
        cdef Py_ssize_t i = 0
        cdef list leavers = self.leavers
        cdef object full_party = None
        cdef Leaving state
        self.leavers = []
        try:
            while i < len(leavers):
                leaver = <Leaver> leavers[i]
                i += 1
                if not leaver.is_resting and (
                        only_resting or leaver.party is full_party is not None):
                    self.leavers.append(leaver)
                    continue
                state = leaver.leave_if_quiet()
                if state != NO_LONGER_LEAVING:
                    self.leavers.append(leaver)
                if state == NO_ROOM:
                    # With hundreds of them, asking each would take milliseconds.
                    full_party = leaver.party
        except BaseException:
            self.leavers.extend(leavers[i - 1:])
            raise
        return 0

    cdef int will_leave(self, Leaver leaver) except -1:
        if not leaver.is_leaving:
            leaver.is_leaving = True
            self.leavers.append(leaver)
        return 0

    def let_run(self, Turn other):
        """When this turn ends, stand back until *other* has opened its letters.

        To be called on this loop's thread, after posting something that a
        connection waits for.  It is a millisecond at most.  For some turns
        this loop's are short, so that the other need not wait for it long.
        """
        if other is not self:
            self.running_next = other.inbox
            self.hurries_until_ns = now_ns() + HURRY_NS

    cdef int check_open(self) except -1:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        return 0

    def _is_forked_copy(self):
        return forks != self.fork_generation

    cdef int check_not_forked(self) except -1:
        if forks != self.fork_generation:
            raise ForkedLoopError(
                "this loop was made before a fork and is used in the child: its kernel "
                "objects belong to the parent. Make a new loop here, or start the child "
                "with the 'spawn' method")
        return 0

    def _drop_everything(self):
        """Forget ready callbacks and timers; the loop is closing."""
        self.timers.clear()
        while self.ready_count:
            item = <object> self.ready[self.first_ready]
            Py_DECREF(item)
            self.first_ready = (self.first_ready + 1) & (self.ready_room - 1)
            self.ready_count -= 1
        self.ending.clear()
        self.leavers.clear()

    def _close_inbox_for_good(self):
        """The engine waits no more, so nobody need be woken."""
        self.inbox.close_wakeup()

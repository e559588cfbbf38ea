from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from aioadapt._turn.counters cimport Counters
from aioadapt._turn.inbox cimport Inbox
from aioadapt._turn.timers cimport Timers


cdef class EndOfTurn:
    cdef:
        bint is_queued               # in the turn's list already

    cdef int turn_ends(self) except -1


cdef enum Leaving:
    LEAVING_RAISED
    NOT_QUIET            # it stays for now
    NO_ROOM              # quiet, but its handler says: not now
    RESTING              # quiet; let go of after one whole turn
    NO_LONGER_LEAVING    # gone, or it is to stay


cdef class Leaver(EndOfTurn):
    cdef:
        bint is_leaving              # the turn asks it at its end
        bint is_resting              # quiet: reading has stopped for one turn
        object party                 # for whom there is room or not, together; or None

    cdef bint could_leave(self) noexcept
    cdef Leaving leave_if_quiet(self) except LEAVING_RAISED


cdef class Turn:
    cdef:
        # asyncio's names: its own methods read and write them.
        public bint _stopping, _closed, _debug
        public object _thread_id

        public bint _until_stopped   # what run_forever asks of the next _run_once

        PyObject **ready             # ring of owned handles
        Py_ssize_t first_ready, ready_count, ready_room
        Timers timers
        Inbox inbox
        list ending                  # EndOfTurn: what has something to send, or to arm
        list leavers                 # Leaver: streams that are to move when quiet
        bint is_resting              # a leaver waits for the next turn: do not sleep
        Inbox running_next           # another loop's, which is to run before us
        long long hurries_until_ns   # turns are short until then
        unsigned long long fork_generation
        long long awake_since_ns
        Counters counted
        unsigned long long number    # of this turn
        readonly dict streams_by_fd  # descriptor -> Stream, while the loop serves it
        readonly dict listeners      # descriptor -> Listener

    # The engine's part.
    cdef int engine_starts(self) except -1
    cdef int engine_pauses(self) except -1
    cdef int collect(self, long long timeout_ns, int at_most) except -1
    cdef bint dispatch_next(self) except -1
    cdef int settle_cancels(self) except -1
    cdef bint has_collected(self) noexcept
    cdef int go_on(self) except -1

    cdef int push_ready(self, object handle) except -1
    cdef int run_turn(self) except -1
    cdef int run_ready(self) except -1
    cdef int end_turn(self) except -1
    cdef int run_ending(self) except -1
    cdef int let_go_of_the_quiet(self) except -1
    cdef int run_leavers(self, bint only_resting) except -1
    cdef bint leavers_could_leave(self) noexcept
    cdef bint leavers_rest(self) noexcept
    cdef int take_calls(self) except -1
    cdef int open_letters(self) except -1
    cdef int put_back(self, list messages) except -1
    cdef int let_other_run(self) except -1
    cdef void give_way(self) noexcept
    cdef bint hurries(self) noexcept
    cdef double now_s(self) except? -1
    cdef int run_due_timers(self, double now_s) except -1
    cdef int run_handle(self, object item) except -1
    cdef int run_foreign(self, object handle) except -1
    cdef int will_leave(self, Leaver leaver) except -1
    cdef int check_not_forked(self) except -1
    cdef int check_open(self) except -1

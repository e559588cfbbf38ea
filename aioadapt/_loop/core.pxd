from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from aioadapt._loop.counters cimport Counters
from aioadapt._loop.hooks cimport HookQueue
from aioadapt._loop.inbox cimport Inbox
from aioadapt._loop.timers cimport Timers


cdef enum:
    READ_BYTES = 262144              # asyncio's: the most that one data_received brings


cdef class LoopCore:
    cdef:
        # asyncio's names: its methods read and write them.
        public bint _stopping, _closed, _debug
        public object _thread_id

        bint is_parked               # does not run: what the kernel reports is held
        public bint _until_stopped   # run_forever: the next _run_once runs until stop()

        PyObject **ready             # ring of owned handles
        Py_ssize_t first_ready, ready_count, ready_room
        Py_ssize_t accept_steps      # of the ready: steps of accepted connections
        Timers timers
        list due_timers              # taken from the heap and run next; the first is last
        Inbox inbox
        HookQueue flush_queue        # streams that the running callback wrote to
        HookQueue end_queue          # what is left for the end of the iteration
        bint is_gathering            # what a callback writes now is sent when it ends
        long long flushed_at_ns      # the last time in this iteration; or when it began
        bint must_turn               # the next iteration does not sleep
        unsigned long long fork_generation
        long long awake_since_ns
        Counters counted
        unsigned long long iteration    # number of the current one
        char *read_buffer            # owned; shared by all connections; NULL until needed
        readonly dict streams_by_fd  # descriptor -> Stream, while the loop serves it
        readonly dict listeners      # descriptor -> Listener
        list waiting_for_fd          # called when the loop has closed a descriptor

    # Implemented by the engine.
    cdef int engine_starts(self) except -1
    cdef int engine_pauses(self) except -1
    cdef int reap(self, long long timeout_ns, int at_most) except -1
    cdef bint dispatch_next(self) except -1
    cdef int finish_cancels(self) except -1
    cdef bint has_reaped(self) noexcept
    cdef int submit_new(self) except -1

    cdef char *buffer_to_read(self) except NULL
    cdef int push_ready(self, object handle) except -1
    cdef int schedule(self, object callback, tuple args, object context) except -1
    cdef int schedule_handle(self, object handle) except -1
    cdef object take_newest(self)
    cdef int run_nested(self) except -1
    cdef int run_iteration(self) except -1
    cdef int run_ready(self) except -1
    cdef int end_iteration(self) except -1
    cdef int flush_in(self, object context) except -1
    cdef int take_calls(self) except -1
    cdef int deliver_messages(self) except -1
    cdef int put_back(self, list messages) except -1
    cdef bint is_awaited(self) noexcept
    cdef double now_s(self) except? -1
    cdef int run_due_timers(self, double now_s, unsigned long long newest) except -1
    cdef int run_handle(self, object item) except -1
    cdef int run_foreign(self, object handle) except -1
    cdef int when_fd_is_freed(self, object callback) except -1
    cdef int fd_freed(self) except -1
    cdef int check_not_forked(self) except -1
    cdef int check_open(self) except -1

"""Many keep-alive connections on one thread, at a few microseconds per request."""

from aioadapt.measure.sockets cimport Sockets
from aioadapt.measure.timing cimport Due, Latencies
from aioadapt.measure.workload cimport Verdict, Workload


cdef enum Trouble:           # why a run ends with an error
    NO_TROUBLE
    REFUSED                  # cannot connect
    CLOSED                   # by the server
    BROKEN                   # send or recv failed
    SILENT                   # no response within the patience
    WRONG                    # the workload knows what
    EARLY                    # a response was complete before its request was sent
    STRAY                    # bytes that nobody asked for

cdef struct Connection:
    bint thinks              # it is in the crowd's timers
    long long begun_ns       # when the request in flight was
    long long left           # requests until it is closed, if connections churn
    long long quota          # requests until the end of the run, where they are counted
    long long done           # right responses in this run


cdef class Crowd(Sockets):
    cdef:
        Connection *connections      # owned; `most` of them, alongside the sockets
        char *incoming               # owned; read into, then judged
        Workload workload
        Due due                      # which connection asks next, and when
        Latencies latencies          # of this run
        readonly long long patience_ns
        unsigned long long dice
        # This run's parameters.
        int wanted                   # connections
        long long think_ns
        long long churn              # requests per connection; 0: it stays
        long long operations         # requests in all; 0: as many as there is time for
        bint running
        # This run's counts.
        long long look_ns, first_answers_ns
        long long asked, opened, closed, closed_by_server, refused, bytes_in
        long long failed, lost, duplicated, misrouted
        int in_flight, unanswered, silent
        Trouble trouble
        int error                    # the errno of the trouble

    cdef void connect(self, int index) noexcept nogil
    cdef void reopen(self, int index) noexcept nogil
    cdef long long a_pause_ns(self) noexcept nogil
    cdef void ask_later(self, int index, long long pause_ns) noexcept nogil
    cdef void ask(self, int index) noexcept nogil
    cdef void settled(self, int index) noexcept nogil
    cdef bint judge(self, int index, Verdict verdict) noexcept nogil
    cdef void after_answer(self, int index) noexcept nogil
    cdef void fault(self, Verdict verdict, Trouble trouble, int error) noexcept nogil
    cdef void give_up(self, Trouble trouble, int error) noexcept nogil
    cdef void give_up_on_the_silent(self) noexcept nogil
    cdef void work(self, long long end_ns, bint spin) noexcept nogil
    cdef void wait(self, long long until_ns, bint spin) noexcept nogil

"""Many keep-alive connections, on one thread, at a few microseconds per request."""

from aioadapt._kernel.linux cimport sockaddr_in
from aioadapt.measure.answer cimport Answer, Wanted
from aioadapt.measure.timing cimport Due, Latencies


cdef struct Connection:
    int fd                   # owned; -1: not open
    bint in_air              # a request is
    bint thinks              # the crowd's timers have it
    Wanted wanted            # of the request in the air, else of the last one
    long long begun_ns
    long long left           # requests until it closes, where connections churn
    Answer answer


cdef class Crowd:
    cdef:
        Connection *connections      # owned; `most` of them
        char *incoming               # owned; read into, then judged
        const char *pattern          # borrowed from _pattern
        long long pattern_bytes
        object _pattern
        int epoll_fd                 # owned
        sockaddr_in address
        Due due                      # who asks next, and when
        Latencies latencies          # of this run
        readonly int most
        readonly long long patience_ns
        # This run's orders.
        int wanted                   # connections
        long long think_ns
        long long churn              # requests per connection; 0: it stays
        long long body_bytes, large_bytes
        unsigned long long large_below
        bint running
        # This run's counts.
        long long now_ns
        long long asked, in_air, opened, closed, closed_by_server, refused, bytes_in
        long long failed, lost, duplicated, misrouted
        # Ever.
        long long numbers            # one for each connection ever opened
        unsigned long long dice

    cdef unsigned long long random(self) noexcept nogil
    cdef int open(self, int index) noexcept nogil
    cdef void shut(self, int index) noexcept nogil
    cdef void reopen(self, int index) noexcept nogil
    cdef long long a_rest_ns(self) noexcept nogil
    cdef void ask_later(self, int index, long long rest_ns) noexcept nogil
    cdef void ask(self, int index) noexcept nogil
    cdef void settle(self, int index) noexcept nogil
    cdef void gone(self, int index) noexcept nogil
    cdef void readable(self, int index) noexcept nogil
    cdef void work(self, long long seconds_ns, bint spin) noexcept nogil
    cdef void wait(self, long long until_ns, bint spin) noexcept nogil

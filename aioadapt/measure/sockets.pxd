"""Many client sockets to one IPv4 address."""

from aioadapt._kernel.linux cimport sockaddr_in

cdef struct Socket:
    int fd                   # owned; -1: not open
    bint in_flight           # it waits for a response
    bint waits_for_room      # epoll reports EPOLLOUT as well
    const char *unsent       # borrowed: the rest of what is being sent
    size_t unsent_bytes

cdef class Sockets:
    cdef:
        Socket *sockets              # owned; `most` of them
        readonly int most
        sockaddr_in address
        bint datagrams
        bint scans                   # instead of using epoll
        int epoll_fd                 # owned; -1: none, or closed
        bint ended                   # close() has been called
        long long now_ns             # the time of the last look

    cdef void close_all(self) noexcept nogil
    cdef int open(self, int index) noexcept nogil
    cdef void shut(self, int index) noexcept nogil
    cdef void send(self, int index, const char *data, size_t size) noexcept nogil
    cdef void send_more(self, int index) noexcept nogil
    cdef void look(self, int count, long long timeout_ns, bint idle_too) noexcept nogil
    cdef void poll(self, long long timeout_ns) noexcept nogil
    cdef void scan(self, int count, bint idle_too) noexcept nogil
    cdef int watch(self, int index, int operation, bint room) noexcept nogil
    cdef void readable(self, int index) noexcept nogil
    cdef void gone(self, int index, int error) noexcept nogil

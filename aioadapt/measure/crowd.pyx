"""A crowd of keep-alive connections that asks, compares every byte, and counts.

It is the measuring instrument, so it must cost the measured server nothing:
it runs in a process of its own, on a core of its own, and spins, since a
sleeping client has to be woken and the kernel charges that to whoever sent,
which is the server.

Each connection has one request in the air.  A run begins and ends in silence:
no connection waits for an answer, so what the server has used in between is
the price of exactly the requests that were counted.  From one run to the next
the connections stay open, unless fewer are wanted.

    closed --open--> resting --ask--> in the air --the right answer--> resting
       ^                |                 |
       '--- the server closes it, or it has made all its requests (churn)

What can go wrong with a request is counted, never passed over: it fails, is
lost, is answered twice, or has somebody else's answer.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset
from posix.unistd cimport close as close_fd

from aioadapt._kernel.linux cimport (
    AF_INET,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLLIN,
    IPPROTO_TCP,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    SOCK_CLOEXEC,
    SOCK_STREAM,
    TCP_NODELAY,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait_ns,
    now_ns,
    recv,
    send,
    setsockopt,
    sockaddr,
    socklen_t,
)
from aioadapt.measure.answer cimport (
    DUPLICATED,
    GARBLED,
    MISROUTED,
    RIGHT,
    UNFINISHED,
    Verdict,
    begin,
    read,
)
from aioadapt.measure.timing cimport Due, Latencies

import os


cdef extern from "<sys/socket.h>" nogil:
    int socket(int family, int kind, int protocol)
    int connect(int fd, const sockaddr *address, socklen_t size)
    int SOL_SOCKET, SO_SNDTIMEO

cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int family, const char *text, void *address)
    unsigned short htons(unsigned short number)

cdef extern from "<sys/time.h>" nogil:
    struct timeval:
        long tv_sec
        long tv_usec

cdef enum:
    INCOMING_BYTES = 262_144
    REQUEST_BYTES = 160
    EVENTS = 512             # a guess: at most so many answers are taken per look
    CONNECT_S = 5            # over loopback only a full backlog takes time
    LOOK_S = 1               # a sleeping client looks so often for silence

cdef long long RETRY_NS = 100_000_000


cdef class Crowd:
    """At most *most* connections to an IPv4 address, with or without a rest between.

    Args:
        pattern: what answers are cut from: :func:`aioadapt.measure.wire.pattern`.
        patience_s: a request without an answer for so long is lost.
    """

    def __cinit__(
        self, str host, int port, bytes pattern, *, int most, double patience_s=10.0,
        unsigned long long seed=1,
    ):
        cdef int i
        self.epoll_fd = -1
        self.most = most
        self.patience_ns = <long long> (patience_s * 1e9)
        self.dice = 0x9E3779B97F4A7C15 ^ (seed << 1)
        self._pattern = pattern
        self.pattern = pattern
        self.pattern_bytes = len(pattern)
        self.due = Due(most)
        self.latencies = Latencies()
        self.connections = <Connection *> calloc(max(most, 1), sizeof(Connection))
        self.incoming = <char *> malloc(INCOMING_BYTES)
        if self.connections == NULL or self.incoming == NULL:
            raise MemoryError
        for i in range(most):
            self.connections[i].fd = -1
        memset(&self.address, 0, sizeof(self.address))
        (<sockaddr *> &self.address).sa_family = AF_INET
        self.address.sin_port = htons(port)
        if inet_pton(AF_INET, host.encode(), &self.address.sin_addr) != 1:
            raise ValueError(f"{host!r} is no IPv4 address")
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            raise OSError(errno, f"cannot make an epoll: {os.strerror(errno)}")

    def __dealloc__(self):
        self.close()
        free(self.connections)
        free(self.incoming)

    def close(self):
        """Close every connection.  What uses it afterwards is refused."""
        cdef int i
        if self.epoll_fd < 0:
            return
        for i in range(self.most):
            self.shut(i)
        close_fd(self.epoll_fd)
        self.epoll_fd = -1

    def run(
        self, *, int connections, double seconds, double think_s=0.0,
        long long requests_per_connection=0, long long body_bytes=128,
        long long large_bytes=0, double large_share=0.0, bint spin=True,
    ):
        """Ask for so long, then wait for the answers; returns what was counted.

        Args:
            connections: how many are open; more are opened and the last ones
                closed, as needed, before the clock starts.
            think_s: mean rest of a connection between answer and request; the
                single rest is anything between half and one and a half of it.
            requests_per_connection: after so many a connection is closed and
                a new one opened; 0 for never.
            body_bytes: size of the answers asked for, 24 at least.
            large_bytes: size of some of them, a share of *large_share*.
            spin: never sleep.
        """
        cdef int i
        cdef long long seconds_ns = <long long> (seconds * 1e9)
        cdef long long start_ns
        if self.epoll_fd < 0:
            raise ValueError("the crowd has been closed")
        if not 0 <= connections <= self.most:
            raise ValueError(f"{connections} connections: it was made for {self.most}")
        if body_bytes < 24 or large_bytes and large_bytes < 24:
            raise ValueError("an answer has 24 bytes at least")
        self.wanted = connections
        self.think_ns = <long long> (think_s * 1e9)
        self.churn = requests_per_connection
        self.body_bytes, self.large_bytes = body_bytes, large_bytes
        self.large_below = <unsigned long long> (
            min(max(large_share if large_bytes else 0.0, 0.0), 1.0) * 4294967295.0)
        self.asked = self.in_air = self.opened = self.closed = 0
        self.closed_by_server = self.refused = self.bytes_in = 0
        self.failed = self.lost = self.duplicated = self.misrouted = 0
        with nogil:
            self.now_ns = now_ns()
            # What has come since the last run: the server may have closed some.
            self.wait(self.now_ns, True)
            self.running = True
            for i in range(self.most):
                if i >= connections and self.connections[i].fd >= 0:
                    self.shut(i)
                    self.closed += 1
                elif i < connections and self.connections[i].fd < 0:
                    self.open(i)
            start_ns = now_ns()
            self.latencies.begin(start_ns)
            self.work(seconds_ns, spin)
        return {
            "connections": connections,
            "asked": self.asked,
            "seconds": (self.now_ns - start_ns) / 1e9,
            "opened": self.opened,
            "closed": self.closed,
            "closed_by_server": self.closed_by_server,
            "refused": self.refused,
            "bytes_in": self.bytes_in,
            "failed": self.failed,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "misrouted": self.misrouted,
            **self.latencies.figures(),
        }

    cdef unsigned long long random(self) noexcept nogil:
        """Of 32 bits; Marsaglia's xorshift."""
        self.dice ^= self.dice << 13
        self.dice ^= self.dice >> 7
        self.dice ^= self.dice << 17
        return self.dice >> 32

    # Connections.

    cdef int open(self, int index) noexcept nogil:
        """Over loopback this takes microseconds, so it may as well block."""
        cdef Connection *connection = &self.connections[index]
        cdef timeval patience
        cdef epoll_event event
        cdef int one = 1
        cdef int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)
        patience.tv_sec = CONNECT_S
        patience.tv_usec = 0
        event.events = EPOLLIN
        event.data.fd = index
        if fd >= 0:
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience))
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
            if (
                connect(fd, <sockaddr *> &self.address, sizeof(self.address)) < 0
                or epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0
            ):
                close_fd(fd)
                fd = -1
        connection.fd = fd
        if fd < 0:
            self.refused += 1
            return -1
        self.opened += 1
        self.numbers += 1
        connection.wanted.connection = self.numbers
        connection.wanted.sequence = 0
        connection.in_air = False
        connection.left = self.churn
        begin(&connection.answer)
        return 0

    cdef void shut(self, int index) noexcept nogil:
        # Its only descriptor: closing takes it out of the epoll as well.
        if self.connections[index].fd >= 0:
            close_fd(self.connections[index].fd)
            self.connections[index].fd = -1

    cdef void reopen(self, int index) noexcept nogil:
        cdef long long rest_ns
        self.shut(index)
        if self.running:
            rest_ns = 0 if self.open(index) == 0 else RETRY_NS
            # Asks from the run's own loop, never from here: a server that
            # closes at once must not lead into an endless recursion.
            self.ask_later(index, max(rest_ns, self.a_rest_ns()))

    # Requests.

    cdef long long a_rest_ns(self) noexcept nogil:
        if self.think_ns == 0:
            return 0
        return self.think_ns // 2 + <long long> (
            self.random() * (self.think_ns / 4294967296.0))

    cdef void ask_later(self, int index, long long rest_ns) noexcept nogil:
        if not self.connections[index].thinks:
            self.connections[index].thinks = True
            self.due.add(self.now_ns + rest_ns, index)

    cdef void ask(self, int index) noexcept nogil:
        cdef Connection *connection = &self.connections[index]
        cdef char request[REQUEST_BYTES]
        cdef int size
        connection.wanted.sequence += 1
        connection.wanted.body_bytes = self.body_bytes
        if self.large_below and self.random() < self.large_below:
            connection.wanted.body_bytes = self.large_bytes
        size = snprintf(
            request, REQUEST_BYTES, b"GET /%lld/%lld/%lld HTTP/1.1\r\nhost: load\r\n\r\n",
            connection.wanted.connection, connection.wanted.sequence,
            connection.wanted.body_bytes)
        connection.in_air = True
        connection.left -= 1
        self.asked += 1
        self.in_air += 1
        connection.begun_ns = now_ns()
        # So few bytes, with nothing before them, always fit: less is an error.
        if send(connection.fd, request, size, MSG_NOSIGNAL | MSG_DONTWAIT) != size:
            self.gone(index)

    cdef void settle(self, int index) noexcept nogil:
        """The request in the air has had its answer, right or wrong."""
        cdef Connection *connection = &self.connections[index]
        connection.in_air = False
        self.in_air -= 1

    cdef void gone(self, int index) noexcept nogil:
        """The server has closed it, or what came is no answer at all."""
        if self.connections[index].in_air:
            self.settle(index)
            self.lost += 1
        else:
            self.closed_by_server += 1
        self.reopen(index)

    cdef void readable(self, int index) noexcept nogil:
        cdef Connection *connection = &self.connections[index]
        cdef const char *data = self.incoming
        cdef size_t size
        cdef ssize_t got
        cdef Verdict verdict
        if connection.fd < 0:
            return
        got = recv(connection.fd, self.incoming, INCOMING_BYTES, MSG_DONTWAIT)
        if got <= 0:
            if got == 0 or (errno != EAGAIN and errno != EINTR):
                self.gone(index)
            return
        size = got
        self.bytes_in += got
        while size > 0:
            if not connection.in_air:
                # Nobody asked.  A late copy of an answer may be followed by more.
                self.duplicated += 1
                self.reopen(index)
                return
            verdict = read(
                &connection.answer, &data, &size, &connection.wanted,
                self.pattern, self.pattern_bytes)
            if verdict == UNFINISHED:
                return
            if verdict == DUPLICATED:
                self.duplicated += 1
                continue
            self.settle(index)
            if verdict == RIGHT:
                self.latencies.add(self.now_ns, now_ns() - connection.begun_ns)
            elif verdict == MISROUTED:
                self.misrouted += 1
            else:
                self.failed += 1
            if verdict == GARBLED:
                self.reopen(index)
                return
        if connection.in_air:
            return
        if self.churn and connection.left <= 0:
            self.closed += 1
            self.reopen(index)
        elif not self.running:
            return
        elif self.think_ns:
            self.ask_later(index, self.a_rest_ns())
        else:
            self.ask(index)

    # The run.

    cdef void work(self, long long seconds_ns, bint spin) noexcept nogil:
        cdef int i
        cdef long long end_ns
        self.now_ns = now_ns()
        end_ns = self.now_ns + seconds_ns
        for i in range(self.wanted):
            self.connections[i].thinks = False
            self.connections[i].left = self.churn
            if self.connections[i].fd < 0:
                self.reopen(i)
            elif self.think_ns:
                # Spread over the time that one thinks, not all at once.
                self.ask_later(i, <long long> (
                    self.random() * (self.think_ns / 4294967296.0)))
            else:
                self.ask(i)
        while self.now_ns < end_ns:
            self.wait(min(end_ns, self.due.first()), spin)
            while self.due.first() <= self.now_ns:
                i = self.due.take()
                self.connections[i].thinks = False
                if self.connections[i].fd < 0:
                    self.reopen(i)
                else:
                    self.ask(i)
        self.running = False
        while self.due.count:
            self.connections[self.due.take()].thinks = False
        while self.in_air and self.now_ns < end_ns + self.patience_ns:
            self.wait(end_ns + self.patience_ns, spin)
        for i in range(self.wanted):
            if self.connections[i].in_air:
                self.settle(i)
                self.lost += 1
                self.shut(i)

    cdef void wait(self, long long until_ns, bint spin) noexcept nogil:
        """Take what has come; sleep until something does, unless it spins."""
        cdef epoll_event events[EVENTS]
        cdef long long timeout_ns = 0 if spin else max(until_ns - self.now_ns, 0)
        cdef int count = epoll_wait_ns(self.epoll_fd, events, EVENTS, timeout_ns)
        cdef int i
        self.now_ns = now_ns()
        for i in range(count):
            self.readable(events[i].data.fd)

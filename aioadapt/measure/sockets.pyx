"""Many client sockets to one IPv4 address, and two ways to find out what has arrived.

One is epoll, which can sleep.  The other is a scan, which tries every socket that waits
for a response.  The kernel adds a socket to an epoll's ready list in the context of the
process that sent to it, so the server pays for a client's epoll.  Where that is a
visible part of what is measured, the client should scan.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.unistd cimport close as close_fd

from aioadapt._kernel cimport linux
from aioadapt._kernel.linux cimport (
    AF_INET,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_MOD,
    EPOLLIN,
    EPOLLOUT,
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
    htons,
    inet_pton,
    now_ns,
    setsockopt,
    sockaddr,
    socklen_t,
)

import os


cdef extern from "<sys/socket.h>" nogil:
    int socket(int family, int kind, int protocol)
    int connect(int fd, const sockaddr *address, socklen_t size)
    int SOL_SOCKET, SO_SNDTIMEO, SOCK_DGRAM

cdef extern from "<sys/time.h>" nogil:
    struct timeval:
        long tv_sec
        long tv_usec

cdef enum:
    EVENTS = 512             # per epoll_wait; a guess
    CONNECT_S = 5            # over loopback only a full backlog takes time


cdef class Sockets:
    """Subclasses implement ``readable`` and ``gone``."""

    def __cinit__(self, str host, int port, *args, int most, bint scan=False, **kwargs):
        cdef int i
        self.epoll_fd = -1
        self.most = most
        self.scans = scan
        self.sockets = <Socket *> calloc(max(most, 1), sizeof(Socket))
        if self.sockets == NULL:
            raise MemoryError
        for i in range(most):
            self.sockets[i].fd = -1
        memset(&self.address, 0, sizeof(self.address))
        self.address.sin_family = AF_INET
        self.address.sin_port = htons(port)
        if inet_pton(AF_INET, host.encode(), &self.address.sin_addr) != 1:
            raise ValueError(f"{host!r} is not an IPv4 address")
        if scan:
            return
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            raise OSError(errno, f"cannot create an epoll instance: {os.strerror(errno)}")

    def __dealloc__(self):
        self.close_all()
        free(self.sockets)

    def close(self):
        """Close every connection.  It cannot be used afterwards."""
        self.ended = True
        self.close_all()

    cdef void close_all(self) noexcept nogil:
        cdef int i
        if self.sockets != NULL:
            for i in range(self.most):
                self.shut(i)
        if self.epoll_fd >= 0:
            close_fd(self.epoll_fd)
            self.epoll_fd = -1

    cdef int open(self, int index) noexcept nogil:
        """Connect; returns 0 or an errno.  It blocks, which over loopback is short."""
        cdef Socket *it = &self.sockets[index]
        cdef timeval patience
        cdef int one = 1
        cdef int error
        cdef int kind = SOCK_DGRAM if self.datagrams else SOCK_STREAM
        it.fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0)
        if it.fd < 0:
            return errno
        it.in_flight = False
        it.unsent_bytes = 0
        patience.tv_sec = CONNECT_S
        patience.tv_usec = 0
        setsockopt(it.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience))
        if not self.datagrams:
            setsockopt(it.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        if (
            connect(it.fd, <sockaddr *> &self.address, sizeof(self.address)) < 0
            or self.watch(index, EPOLL_CTL_ADD, False) < 0
        ):
            error = errno
            self.shut(index)
            return error
        return 0

    cdef void shut(self, int index) noexcept nogil:
        # The socket's only descriptor, so closing it also unregisters it from epoll.
        if self.sockets[index].fd >= 0:
            close_fd(self.sockets[index].fd)
            self.sockets[index].fd = -1

    cdef int watch(self, int index, int operation, bint room) noexcept nogil:
        cdef epoll_event event
        if self.scans:
            return 0
        event.events = EPOLLIN | EPOLLOUT if room else EPOLLIN
        event.data.fd = index
        self.sockets[index].waits_for_room = room
        return epoll_ctl(self.epoll_fd, operation, self.sockets[index].fd, &event)

    cdef void send(self, int index, const char *data, size_t size) noexcept nogil:
        """Send all of *data*, which must stay valid until it is sent."""
        self.sockets[index].unsent = data
        self.sockets[index].unsent_bytes = size
        self.send_more(index)

    cdef void send_more(self, int index) noexcept nogil:
        cdef Socket *it = &self.sockets[index]
        cdef ssize_t sent = linux.send(
            it.fd, it.unsent, it.unsent_bytes, MSG_NOSIGNAL | MSG_DONTWAIT)
        cdef bint room
        if sent >= 0:
            it.unsent += sent
            it.unsent_bytes -= sent
        elif errno != EAGAIN and errno != EINTR:
            self.gone(index, errno)
            return
        room = it.unsent_bytes > 0
        if room != it.waits_for_room and self.watch(index, EPOLL_CTL_MOD, room) < 0:
            self.gone(index, errno)

    cdef void look(self, int count, long long timeout_ns, bint idle_too) noexcept nogil:
        """Handle what has arrived on the first *count* sockets.

        epoll waits up to *timeout_ns* for something.  A scan never waits, and
        skips idle sockets unless *idle_too*.
        """
        if self.scans:
            self.scan(count, idle_too)
        else:
            self.poll(timeout_ns)

    cdef void poll(self, long long timeout_ns) noexcept nogil:
        cdef epoll_event events[EVENTS]
        cdef int count = epoll_wait_ns(self.epoll_fd, events, EVENTS, timeout_ns)
        cdef int i, index
        self.now_ns = now_ns()
        for i in range(count):
            index = events[i].data.fd
            if events[i].events & EPOLLOUT and self.sockets[index].fd >= 0:
                self.send_more(index)
            if events[i].events & ~EPOLLOUT and self.sockets[index].fd >= 0:
                self.readable(index)

    cdef void scan(self, int count, bint idle_too) noexcept nogil:
        cdef int i
        self.now_ns = now_ns()
        for i in range(count):
            if self.sockets[i].in_flight and self.sockets[i].unsent_bytes:
                self.send_more(i)
            if self.sockets[i].fd >= 0 and (self.sockets[i].in_flight or idle_too):
                self.readable(i)

    cdef void readable(self, int index) noexcept nogil:
        """Bytes may have arrived, or the end of the stream."""

    cdef void gone(self, int index, int error) noexcept nogil:
        """Sending has failed."""

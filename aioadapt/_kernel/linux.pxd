"""The Linux calls and constants that Cython's own declarations lack."""

from libc.stdint cimport uint32_t, uint64_t
from posix.time cimport timespec

cdef extern from "<errno.h>":
    enum:
        ECANCELED                    # missing from libc.errno

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        void *ptr
        int fd
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL
    uint32_t EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLET

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, ...)
    unsigned long FIONBIO

cdef extern from "<poll.h>" nogil:
    short POLLIN, POLLOUT, POLLERR, POLLHUP

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        int msg_flags
    struct mmsghdr:                  # _GNU_SOURCE
        msghdr msg_hdr
        unsigned int msg_len
    ssize_t recv(int fd, void *buffer, size_t size, int flags)
    ssize_t send(int fd, const void *buffer, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    ssize_t sendto(int fd, const void *data, size_t size, int flags,
                   const sockaddr *address, socklen_t address_size)
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, void *timeout)
    int accept4(int fd, sockaddr *address, socklen_t *size, int flags)
    int shutdown(int fd, int how)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
    int getpeername(int fd, sockaddr *address, socklen_t *size)
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int AF_UNIX, AF_INET, AF_INET6, SOCK_STREAM
    int MSG_DONTWAIT, MSG_NOSIGNAL, MSG_TRUNC, MSG_PEEK
    int SOCK_NONBLOCK, SOCK_CLOEXEC, SHUT_WR

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        unsigned short sin_family
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        unsigned short sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    int IPPROTO_TCP
    int INET6_ADDRSTRLEN
    unsigned short ntohs(unsigned short number)
    uint32_t ntohl(uint32_t number)
    unsigned short htons(unsigned short number)
    uint32_t htonl(uint32_t number)

cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)
    int inet_pton(int family, const char *text, void *address)

cdef extern from "<netinet/tcp.h>" nogil:
    int TCP_NODELAY

cdef extern from "<time.h>" nogil:
    int clock_gettime(int clock, timespec *now)
    int CLOCK_MONOTONIC

cdef extern from *:
    """
    #include <errno.h>
    #include <sys/epoll.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>

    static inline long long aioadapt_now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * 1000000000LL + now.tv_nsec;
    }

    #ifndef SYS_epoll_pwait2
    #define SYS_epoll_pwait2 441
    #endif

    /* epoll_wait counts in milliseconds; epoll_pwait2 (Linux 5.11) in
       nanoseconds, so that a timer need not wait for the next millisecond. */
    static inline int aioadapt_epoll_wait_ns(
        int epfd, struct epoll_event *events, int room, long long timeout_ns)
    {
        static int has_pwait2 = 1;
        if (timeout_ns > 0 && has_pwait2) {
            struct timespec ts = {
                .tv_sec = timeout_ns / 1000000000LL,
                .tv_nsec = timeout_ns % 1000000000LL,
            };
            int n = syscall(SYS_epoll_pwait2, epfd, events, room, &ts, NULL, 0);
            /* A sandbox may know the call and forbid it. */
            if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return n;
            has_pwait2 = 0;
        }
        if (timeout_ns > 0) {
            long long ms = (timeout_ns + 999999) / 1000000;
            return epoll_wait(epfd, events, room, ms > 86400000 ? 86400000 : (int)ms);
        }
        return epoll_wait(epfd, events, room, timeout_ns < 0 ? -1 : 0);
    }
    """
    long long now_ns "aioadapt_now_ns"() noexcept nogil
    int epoll_wait_ns "aioadapt_epoll_wait_ns"(
        int epfd, epoll_event *events, int room, long long timeout_ns) noexcept nogil

/*
 * The C limit for datagrams: a UDP echo server that only receives and sends.
 *
 * Level-triggered.  One recvmmsg takes up to 16 waiting datagrams, and one sendto
 * answers each.  Receiving them one by one costs 1.2 times as much.  A datagram that
 * a full socket refuses is dropped, as UDP permits; the benchmark's client then ends
 * the run.
 *
 * Prints its port, and exits when its standard input ends.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 16, DATAGRAM_BYTES = 64 * 1024 };

static char memory[BATCH][DATAGRAM_BYTES];
static struct sockaddr_in names[BATCH];
static struct iovec places[BATCH];
static struct mmsghdr messages[BATCH];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void echo(int fd)
{
    int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    if (got < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
        die("recvmmsg");
    for (int i = 0; i < got; i++) {
        sendto(fd, memory[i], messages[i].msg_len, MSG_DONTWAIT,
               (struct sockaddr *)&names[i], messages[i].msg_hdr.msg_namelen);
        messages[i].msg_hdr.msg_namelen = sizeof(names[i]);
    }
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t address_bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || epoll_fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0
        || getsockname(fd, (struct sockaddr *)&address, &address_bytes) < 0)
        die("bind");
    for (int i = 0; i < BATCH; i++) {
        places[i] = (struct iovec){.iov_base = memory[i], .iov_len = DATAGRAM_BYTES};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &names[i],
            .msg_namelen = sizeof(names[i]),
            .msg_iov = &places[i],
            .msg_iovlen = 1,
        };
    }
    watch(epoll_fd, fd);
    watch(epoll_fd, STDIN_FILENO);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        struct epoll_event events[2];
        int ready = epoll_wait(epoll_fd, events, 2, -1);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == STDIN_FILENO)
                return 0;
            echo(fd);
        }
    }
}

/*
 * The C limit with epoll: an echo server that only calls recv and send.
 *
 * Level-triggered, one recv and one send per ready connection and iteration.  The
 * bytes that a send does not take are kept, and the connection is then watched for
 * writability only, so that the order is kept and nothing accumulates.
 *
 * Prints its port, and exits when its standard input ends.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 * 1024, EVENTS_PER_ITERATION = 1024, BACKLOG = 4096 };

struct connection {
    int fd;
    char *unsent;          /* owned; NULL if everything is sent */
    size_t unsent_bytes;
    size_t offset_bytes;   /* of unsent, already sent */
};

static int epoll_fd;
static char buffer[BUFFER_BYTES];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int operation, int fd, uint32_t events, void *owner)
{
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(epoll_fd, operation, fd, &event) < 0)
        die("epoll_ctl");
}

static void end(struct connection *connection)
{
    close(connection->fd);   /* its socket's only descriptor, so this unregisters it */
    free(connection->unsent);
    free(connection);
}

static void accept_all(int listener)
{
    int one = 1;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN)
                return;
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            die("accept4");
        }
        struct connection *connection = calloc(1, sizeof(*connection));
        if (connection == NULL)
            die("calloc");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        connection->fd = fd;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN, connection);
    }
}

static void readable(struct connection *connection)
{
    ssize_t got = recv(connection->fd, buffer, sizeof(buffer), 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            end(connection);
        return;
    }
    ssize_t sent = send(connection->fd, buffer, (size_t)got, MSG_NOSIGNAL);
    if (sent == got)
        return;
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            end(connection);
            return;
        }
        sent = 0;
    }
    connection->unsent_bytes = (size_t)(got - sent);
    connection->offset_bytes = 0;
    connection->unsent = malloc(connection->unsent_bytes);
    if (connection->unsent == NULL)
        die("malloc");
    memcpy(connection->unsent, buffer + sent, connection->unsent_bytes);
    watch(EPOLL_CTL_MOD, connection->fd, EPOLLOUT, connection);
}

static void writable(struct connection *connection)
{
    ssize_t sent = send(connection->fd, connection->unsent + connection->offset_bytes,
                        connection->unsent_bytes - connection->offset_bytes, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            end(connection);
        return;
    }
    connection->offset_bytes += (size_t)sent;
    if (connection->offset_bytes == connection->unsent_bytes) {
        free(connection->unsent);
        connection->unsent = NULL;
        watch(EPOLL_CTL_MOD, connection->fd, EPOLLIN, connection);
    }
}

int main(void)
{
    static struct epoll_event events[EVENTS_PER_ITERATION];
    static char listening, parent;   /* their addresses name the two other watches */
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t address_bytes = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0
        || listen(listener, BACKLOG) < 0
        || getsockname(listener, (struct sockaddr *)&address, &address_bytes) < 0)
        die("listen");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("epoll_create1");
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, &listening);
    watch(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, &parent);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS_PER_ITERATION, -1);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            void *owner = events[i].data.ptr;
            if (owner == &listening)
                accept_all(listener);
            else if (owner == &parent)
                return 0;
            else if (((struct connection *)owner)->unsent != NULL)
                writable(owner);
            else
                readable(owner);
        }
    }
}

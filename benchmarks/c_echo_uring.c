/*
 * The C limit with io_uring: an echo server that copies nothing.
 *
 * One multishot accept, one multishot recv per connection with a ring of provided
 * buffers, and sends through the ring directly from the buffer that the bytes
 * arrived in.  A buffer belongs to the kernel until a recv completion names it, then
 * to its connection's queue, and returns to the kernel when the send that emptied it
 * has completed.  Each connection has one send in flight at a time, so the order is
 * kept.
 *
 * Prints its port, and exits when its standard input ends.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SUBMISSIONS = 2048,
    COMPLETIONS = 8192,
    BUFFERS = 2048,          /* more than the 1,024 connections that we measure */
    BUFFER_BYTES = 16 * 1024,
    /* The kernel takes the buffers in turn, so even one connection uses all of them.
     * If they were whole pages apart, their first cache lines would compete for the
     * same few sets of the cache. */
    BUFFER_STRIDE = BUFFER_BYTES + 64,
    HUGE_PAGE_BYTES = 2 * 1024 * 1024,
    BUFFER_GROUP = 0,
    NO_BUFFER = -1,
    BACKLOG = 4096,
};

/* In the low bit of user_data, which is free because connections are aligned. */
enum { RECV = 0, SEND = 1 };

struct connection {
    int fd;
    bool receiving;          /* the multishot recv is armed */
    bool sending;            /* the head of the queue is in a send */
    bool broken;             /* a send failed: nothing more is sent */
    int head, tail;          /* owned buffers, in order of arrival */
    struct connection *next_starved;
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static char *buffers;
static int next_buffer[BUFFERS];         /* links the connections' queues */
static uint32_t filled_bytes[BUFFERS];
static uint32_t sent_bytes[BUFFERS];
static int given_back;                   /* since the end of the last iteration */
static struct connection *starved;       /* their recv found no buffer */
static char accepting, parent;           /* their addresses are user_data */

static void die(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
}

static struct io_uring_sqe *submission(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        int result = io_uring_submit(&ring);
        if (result < 0)
            die("io_uring_submit", -result);
        sqe = io_uring_get_sqe(&ring);
        if (sqe == NULL)
            die("io_uring_get_sqe", EBUSY);
    }
    return sqe;
}

static char *address_of(int buffer)
{
    return buffers + (size_t)buffer * BUFFER_STRIDE;
}

static void give_back(int buffer)
{
    io_uring_buf_ring_add(buffer_ring, address_of(buffer), BUFFER_BYTES,
                          (unsigned short)buffer, io_uring_buf_ring_mask(BUFFERS), given_back);
    given_back++;
}

static void receive(struct connection *connection)
{
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_recv_multishot(sqe, connection->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    sqe->user_data = (uintptr_t)connection | RECV;
    connection->receiving = true;
}

static void send_head(struct connection *connection)
{
    int buffer = connection->head;
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_send(sqe, connection->fd, address_of(buffer) + sent_bytes[buffer],
                       filled_bytes[buffer] - sent_bytes[buffer], MSG_NOSIGNAL);
    sqe->user_data = (uintptr_t)connection | SEND;
    connection->sending = true;
}

static void drop_head(struct connection *connection)
{
    int buffer = connection->head;
    connection->head = next_buffer[buffer];
    give_back(buffer);
}

static void end_if_over(struct connection *connection)
{
    if (connection->receiving || connection->sending)
        return;
    while (connection->head != NO_BUFFER)
        drop_head(connection);
    close(connection->fd);
    free(connection);
}

static void accepted(struct io_uring_cqe *cqe, int listener)
{
    int one = 1;
    if (cqe->res >= 0) {
        struct connection *connection = calloc(1, sizeof(*connection));
        if (connection == NULL)
            die("calloc", ENOMEM);
        setsockopt(cqe->res, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        connection->fd = cqe->res;
        connection->head = NO_BUFFER;
        receive(connection);
    } else if (cqe->res != -ECONNABORTED) {
        die("accept", -cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        struct io_uring_sqe *sqe = submission();
        io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
        sqe->user_data = (uintptr_t)&accepting;
    }
}

static void received(struct connection *connection, struct io_uring_cqe *cqe)
{
    connection->receiving = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (cqe->res > 0) {
        int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        filled_bytes[buffer] = (uint32_t)cqe->res;
        sent_bytes[buffer] = 0;
        next_buffer[buffer] = NO_BUFFER;
        if (connection->broken) {
            give_back(buffer);
        } else if (connection->head == NO_BUFFER) {
            connection->head = connection->tail = buffer;
            send_head(connection);
        } else {
            next_buffer[connection->tail] = buffer;
            connection->tail = buffer;
        }
        if (!connection->receiving)
            receive(connection);
    } else if (cqe->res == -ENOBUFS) {
        /* Every buffer is in some connection's queue: the next one to be given back
         * restarts this recv. */
        connection->next_starved = starved;
        starved = connection;
        connection->receiving = true;
    } else {
        end_if_over(connection);
    }
}

static void sent(struct connection *connection, int result)
{
    int buffer = connection->head;

    connection->sending = false;
    if (result < 0) {
        connection->broken = true;
        shutdown(connection->fd, SHUT_RDWR);   /* ends the recv, which ends the rest */
        while (connection->head != NO_BUFFER)
            drop_head(connection);
    } else {
        sent_bytes[buffer] += (uint32_t)result;
        if (sent_bytes[buffer] == filled_bytes[buffer])
            drop_head(connection);
        if (connection->head != NO_BUFFER)
            send_head(connection);
    }
    end_if_over(connection);
}

static void finish_iteration(void)
{
    if (given_back == 0)
        return;
    io_uring_buf_ring_advance(buffer_ring, given_back);
    given_back = 0;
    while (starved != NULL) {
        struct connection *connection = starved;
        starved = connection->next_starved;
        receive(connection);
    }
}

static void set_up_ring(void)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CLAMP
                 | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    struct io_uring_buf_reg registration = {.ring_entries = BUFFERS, .bgid = BUFFER_GROUP};
    int result = io_uring_queue_init_params(SUBMISSIONS, &ring, &params);

    if (result < 0)
        die("io_uring_queue_init_params", -result);
    io_uring_register_ring_fd(&ring);
    if (posix_memalign((void **)&buffer_ring, 4096, BUFFERS * sizeof(struct io_uring_buf)) != 0
        || posix_memalign((void **)&buffers, HUGE_PAGE_BYTES, (size_t)BUFFERS * BUFFER_STRIDE) != 0)
        die("posix_memalign", ENOMEM);
    /* Touched now, so that no page fault occurs while the server is measured. */
    madvise(buffers, (size_t)BUFFERS * BUFFER_STRIDE, MADV_HUGEPAGE);
    memset(buffers, 0, (size_t)BUFFERS * BUFFER_STRIDE);
    registration.ring_addr = (uintptr_t)buffer_ring;
    result = io_uring_register_buf_ring(&ring, &registration, 0);
    if (result < 0)
        die("io_uring_register_buf_ring", -result);
    io_uring_buf_ring_init(buffer_ring);
    for (int buffer = 0; buffer < BUFFERS; buffer++)
        give_back(buffer);
    finish_iteration();
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t address_bytes = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct io_uring_sqe *sqe;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0
        || listen(listener, BACKLOG) < 0
        || getsockname(listener, (struct sockaddr *)&address, &address_bytes) < 0)
        die("listen", errno);
    set_up_ring();
    sqe = submission();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = (uintptr_t)&accepting;
    sqe = submission();
    io_uring_prep_poll_add(sqe, STDIN_FILENO, POLLIN);
    sqe->user_data = (uintptr_t)&parent;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;
        int result = io_uring_submit_and_wait(&ring, 1);
        if (result < 0 && result != -EINTR)
            die("io_uring_submit_and_wait", -result);
        io_uring_for_each_cqe(&ring, head, cqe) {
            uintptr_t owner = (uintptr_t)cqe->user_data;
            seen++;
            if (owner == (uintptr_t)&accepting)
                accepted(cqe, listener);
            else if (owner == (uintptr_t)&parent)
                return 0;
            else if (owner & SEND)
                sent((struct connection *)(owner & ~(uintptr_t)SEND), cqe->res);
            else
                received((struct connection *)owner, cqe);
        }
        io_uring_cq_advance(&ring, seen);
        finish_iteration();
    }
}

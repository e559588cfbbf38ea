/* System calls that fail, as a plan says: the library of a build with -Dfaults=true.

   Such a build links every module with --wrap, so that the calls which our modules make
   come here, and nobody else's.  A plan is a list of strikes: which call, which of its
   occurrences, and what then happens.

   Only what a kernel can do happens.  A receive that fails has not been made, so no byte
   is lost.  A short send is a send of fewer bytes.  An accept that is aborted takes the
   connection from the queue and closes it.  Rings of a few entries are what overflows.
   An operation of a ring that fails is submitted as a NOP with that result, and so is a
   cancel that misses.  Completions that are late are hidden until the ring is next
   entered, as if the kernel had posted them just after the queue was looked at. */

#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#define NOP_INJECT_RESULT 1U /* Linux 6.10 */

/* In the order of CALLS in tests/faults/plan.py. */
enum call {
    RECV, SEND, RECVMMSG, SENDTO, ACCEPT, EPOLL_ADD, EPOLL_MOD, EPOLL_WAIT, EPOLL_CREATE,
    EVENTFD, WRITE, MMAP, RING_SETUP, RING_BUFFERS, RING_ENTER, RING_RECV, RING_POLL,
    RING_CANCEL, RING_REAP, CALLS
};

/* Of what happens: an errno, or one of these. */
enum { NOTHING = 0, FEWER = -1, LATE = -2 };

struct strike { int call, what, amount, times; long first, every; };
struct struck { int call, what; long nth; long inode; };

#define STRIKES 64
#define REMEMBERED 4096
#define RINGS 16

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct strike plan[STRIKES];
static int strikes;
static long counts[CALLS];
static struct struck remembered[REMEMBERED];
static long struck_so_far;
static struct { long inode; int aborted; } accepts[REMEMBERED];
static long accepts_so_far;
static struct hidden { struct io_uring *ring; unsigned tail, count; } hidden[RINGS];

/* -- the interface for ctypes ------------------------------------------------------- */

void faults_arm(const struct strike *wanted, int count)
{
    pthread_mutex_lock(&mutex);
    strikes = count > STRIKES ? STRIKES : count;
    memcpy(plan, wanted, strikes * sizeof(*plan));
    memset(counts, 0, sizeof(counts));
    struck_so_far = accepts_so_far = 0;
    pthread_mutex_unlock(&mutex);
}

void faults_disarm(void)
{
    pthread_mutex_lock(&mutex);
    strikes = 0;
    pthread_mutex_unlock(&mutex);
}

/* How often each call was made since the plan was armed. */
void faults_counts(long *into)
{
    pthread_mutex_lock(&mutex);
    memcpy(into, counts, sizeof(counts));
    pthread_mutex_unlock(&mutex);
}

long faults_struck(struct struck *into, long room)
{
    long n;
    pthread_mutex_lock(&mutex);
    n = struck_so_far < room ? struck_so_far : room;
    memcpy(into, remembered, n * sizeof(*into));
    pthread_mutex_unlock(&mutex);
    return n;
}

/* Was this connection, the nth of those that were taken from the queue of a listening
   socket, aborted?  -1: it has not been taken yet. */
int faults_aborted(long listener_inode, long nth)
{
    int answer = -1;
    long i;
    pthread_mutex_lock(&mutex);
    for (i = 0; i < accepts_so_far && answer < 0; i++)
        if (accepts[i].inode == listener_inode && nth-- == 0)
            answer = accepts[i].aborted;
    pthread_mutex_unlock(&mutex);
    return answer;
}

/* Does this kernel let a NOP have any result? */
int faults_reach_operations(void)
{
    struct io_uring ring;
    struct io_uring_sqe *sqe;
    struct io_uring_cqe *cqe;
    int found = 0;
    if (io_uring_queue_init(2, &ring, 0) < 0)
        return 0;
    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_nop(sqe);
    sqe->rw_flags = NOP_INJECT_RESULT;
    sqe->len = (unsigned)-ENOMEM;
    if (io_uring_submit(&ring) == 1 && io_uring_wait_cqe(&ring, &cqe) == 0)
        found = cqe->res == -ENOMEM;
    io_uring_queue_exit(&ring);
    return found;
}

/* -- which of them strikes ------------------------------------------------------------ */

static long inode_of(int fd)
{
    struct stat status;
    return fd >= 0 && fstat(fd, &status) == 0 ? (long)status.st_ino : 0;
}

static int strikes_now(enum call call, int fd, int *amount)
{
    int i, what = NOTHING;
    long nth, since;
    pthread_mutex_lock(&mutex);
    nth = counts[call]++;
    for (i = 0; i < strikes && what == NOTHING; i++) {
        since = nth - plan[i].first;
        if (plan[i].call == (int)call && since >= 0 && since % plan[i].every == 0
                && since / plan[i].every < plan[i].times) {
            what = plan[i].what;
            *amount = plan[i].amount;
        }
    }
    if (what != NOTHING && struck_so_far < REMEMBERED) {
        struct struck *it = &remembered[struck_so_far++];
        it->call = call;
        it->what = what;
        it->nth = nth;
        it->inode = inode_of(fd);
    }
    pthread_mutex_unlock(&mutex);
    return what;
}

#define FAIL_IF(call, fd)                                    \
    int amount = 0, what = strikes_now(call, fd, &amount);   \
    if (what > 0) {                                          \
        errno = what;                                        \
        return -1;                                           \
    }

static size_t fewer(size_t size, int amount)
{
    return size > (size_t)amount ? (size_t)amount : size;
}

/* -- sockets ------------------------------------------------------------------------------ */

ssize_t __real_recv(int, void *, size_t, int);
ssize_t __real_send(int, const void *, size_t, int);
ssize_t __real_sendmsg(int, const struct msghdr *, int);
ssize_t __real_sendto(
    int, const void *, size_t, int, const struct sockaddr *, socklen_t);
int __real_recvmmsg(int, struct mmsghdr *, unsigned, int, struct timespec *);
int __real_accept4(int, struct sockaddr *, socklen_t *, int);

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
    FAIL_IF(RECV, fd)
    return __real_recv(fd, buffer, what == FEWER ? fewer(size, amount) : size, flags);
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
    FAIL_IF(SEND, fd)
    return __real_send(fd, data, what == FEWER ? fewer(size, amount) : size, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct msghdr first = *message;
    struct iovec vector = message->msg_iovlen ? message->msg_iov[0] : (struct iovec){0};
    FAIL_IF(SEND, fd)
    if (what == FEWER) {
        vector.iov_len = fewer(vector.iov_len, amount);
        first.msg_iov = &vector;
        first.msg_iovlen = 1;
    }
    return __real_sendmsg(fd, &first, flags);
}

ssize_t __wrap_sendto(int fd, const void *data, size_t size, int flags,
                      const struct sockaddr *address, socklen_t address_size)
{
    FAIL_IF(SENDTO, fd)
    return __real_sendto(fd, data, size, flags, address, address_size);
}

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout)
{
    FAIL_IF(RECVMMSG, fd)
    return __real_recvmmsg(fd, messages, what == FEWER ? 1 : count, flags, timeout);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    int taken, amount = 0, what = strikes_now(ACCEPT, fd, &amount);
    int is_aborted = what == ECONNABORTED || what == EPROTO || what == EPERM;
    if (what > 0 && !is_aborted) {
        errno = what;
        return -1;
    }
    taken = __real_accept4(fd, address, size, flags);
    if (taken < 0)
        return taken;
    pthread_mutex_lock(&mutex);
    if (accepts_so_far < REMEMBERED) {
        accepts[accepts_so_far].inode = inode_of(fd);
        accepts[accepts_so_far++].aborted = is_aborted;
    }
    pthread_mutex_unlock(&mutex);
    if (is_aborted) {
        close(taken);
        errno = what;
        return -1;
    }
    return taken;
}

/* -- epoll, the eventfd, memory ------------------------------------------------------------- */

int __real_epoll_ctl(int, int, int, struct epoll_event *);
int __real_epoll_wait(int, struct epoll_event *, int, int);
int __real_epoll_create1(int);
int __real_eventfd(unsigned, int);
ssize_t __real_write(int, const void *, size_t);
void *__real_mmap(void *, size_t, int, int, int, off_t);
long __real_syscall(long, ...);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD) {
        FAIL_IF(EPOLL_ADD, fd)
    } else if (operation == EPOLL_CTL_MOD) {
        FAIL_IF(EPOLL_MOD, fd)
    }
    return __real_epoll_ctl(epoll, operation, fd, event);
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int room, int timeout_ms)
{
    FAIL_IF(EPOLL_WAIT, -1)
    if (what == LATE && timeout_ms == 0)
        return 0;
    return __real_epoll_wait(epoll, events, what == FEWER ? 1 : room, timeout_ms);
}

long __wrap_syscall(long number, ...)
{
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_epoll_pwait2) {
        FAIL_IF(EPOLL_WAIT, -1)
        if (what == FEWER)
            arguments[2] = 1;
    }
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
                          arguments[4], arguments[5]);
}

int __wrap_epoll_create1(int flags)
{
    FAIL_IF(EPOLL_CREATE, -1)
    return __real_epoll_create1(flags);
}

int __wrap_eventfd(unsigned initially, int flags)
{
    FAIL_IF(EVENTFD, -1)
    return __real_eventfd(initially, flags);
}

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    FAIL_IF(WRITE, -1)
    return __real_write(fd, data, size);
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    int amount = 0, what = strikes_now(MMAP, -1, &amount);
    if (what > 0) {
        errno = what;
        return MAP_FAILED;
    }
    return __real_mmap(address, size, protection, flags, fd, offset);
}

/* Its name where files may be large. */
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return __wrap_mmap(address, size, protection, flags, fd, offset);
}

/* -- the ring ----------------------------------------------------------------------------- */

int __real_io_uring_queue_init_params(unsigned, struct io_uring *, struct io_uring_params *);
int __real_io_uring_register_buf_ring(struct io_uring *, struct io_uring_buf_reg *, unsigned);
int __real_io_uring_submit_and_get_events(struct io_uring *);
int __real_io_uring_submit_and_wait(struct io_uring *, unsigned);
int __real_io_uring_submit_and_wait_timeout(
    struct io_uring *, struct io_uring_cqe **, unsigned, struct __kernel_timespec *,
    sigset_t *);

int __wrap_io_uring_queue_init_params(
    unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    int amount = 0, what = strikes_now(RING_SETUP, -1, &amount), i;
    if (what > 0)
        return -what;
    if (what == FEWER) {
        entries = amount;
        params->cq_entries = 2 * amount;
    }
    pthread_mutex_lock(&mutex);
    for (i = 0; i < RINGS; i++)      /* of one that has been freed */
        if (hidden[i].ring == ring)
            hidden[i].ring = NULL;
    pthread_mutex_unlock(&mutex);
    return __real_io_uring_queue_init_params(entries, ring, params);
}

int __wrap_io_uring_register_buf_ring(
    struct io_uring *ring, struct io_uring_buf_reg *registration, unsigned flags)
{
    int amount = 0, what = strikes_now(RING_BUFFERS, -1, &amount);
    return what > 0 ? -what : __real_io_uring_register_buf_ring(ring, registration, flags);
}

/* Let what is about to be submitted fail. */
static void strike_submissions(struct io_uring *ring)
{
    struct io_uring_sq *queue = &ring->sq;
    unsigned i;
    for (i = queue->sqe_head; i != queue->sqe_tail; i++) {
        struct io_uring_sqe *sqe = &queue->sqes[i & queue->ring_mask];
        int amount = 0, what = NOTHING;
        unsigned long long user_data = sqe->user_data;
        switch (sqe->opcode) {
        case IORING_OP_RECV: what = strikes_now(RING_RECV, sqe->fd, &amount); break;
        case IORING_OP_POLL_ADD: what = strikes_now(RING_POLL, sqe->fd, &amount); break;
        case IORING_OP_ASYNC_CANCEL: what = strikes_now(RING_CANCEL, -1, &amount); break;
        }
        if (what > 0) {
            io_uring_prep_nop(sqe);
            sqe->flags = 0;
            sqe->rw_flags = NOP_INJECT_RESULT;
            sqe->len = (unsigned)-what;
            sqe->user_data = user_data;
        }
    }
}

/* The kernel does not read the tail between two calls.  Where it has posted more
   meanwhile, as without DEFER_TASKRUN it may, it has written the tail itself. */
static void show_again(struct io_uring *ring)
{
    int i;
    pthread_mutex_lock(&mutex);
    for (i = 0; i < RINGS; i++) {
        if (hidden[i].ring == ring) {
            if (*ring->cq.ktail == hidden[i].tail - hidden[i].count)
                *ring->cq.ktail = hidden[i].tail;
            hidden[i].ring = NULL;
        }
    }
    pthread_mutex_unlock(&mutex);
}

static void hide_some(struct io_uring *ring)
{
    unsigned waiting = *ring->cq.ktail - *ring->cq.khead;
    int i, amount = 0;
    if (waiting == 0 || strikes_now(RING_REAP, -1, &amount) != LATE)
        return;
    pthread_mutex_lock(&mutex);
    for (i = 0; i < RINGS; i++) {
        if (hidden[i].ring == NULL) {
            hidden[i].ring = ring;
            hidden[i].tail = *ring->cq.ktail;
            hidden[i].count = waiting < (unsigned)amount ? waiting : (unsigned)amount;
            *ring->cq.ktail = hidden[i].tail - hidden[i].count;
            break;
        }
    }
    pthread_mutex_unlock(&mutex);
}

/* The kernel takes only the first of what is submitted, and then does not wait either. */
static int submit_some(struct io_uring *ring, unsigned amount)
{
    unsigned tail = ring->sq.sqe_tail;
    int result;
    if (tail - ring->sq.sqe_head > amount)
        ring->sq.sqe_tail = ring->sq.sqe_head + amount;
    result = __real_io_uring_submit_and_get_events(ring);
    ring->sq.sqe_tail = tail;
    return result;
}

#define ENTER(real)                                                \
    int amount = 0, what = strikes_now(RING_ENTER, -1, &amount);   \
    int result;                                                    \
    show_again(ring);                                              \
    if (what == EINTR && amount)                                   \
        raise(amount);      /* the signal that has interrupted */  \
    if (what > 0)                                                  \
        return -what;                                              \
    strike_submissions(ring);                                      \
    if (what == FEWER)                                             \
        return submit_some(ring, amount);                          \
    result = real;                                                 \
    hide_some(ring);                                               \
    return result;

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
    ENTER(__real_io_uring_submit_and_get_events(ring))
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_for)
{
    ENTER(__real_io_uring_submit_and_wait(ring, wait_for))
}

int __wrap_io_uring_submit_and_wait_timeout(
    struct io_uring *ring, struct io_uring_cqe **completion, unsigned wait_for,
    struct __kernel_timespec *timeout, sigset_t *signals)
{
    ENTER(__real_io_uring_submit_and_wait_timeout(
        ring, completion, wait_for, timeout, signals))
}

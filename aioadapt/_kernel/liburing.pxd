"""The liburing calls we make, no more, and three steps of a ring in plain C.

The oldest liburing we build with is 2.3.  Whatever is newer than that is
defined here, each name on its own, so that any later header wins.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from aioadapt._kernel.linux cimport msghdr

cdef extern from *:
    """
    #include <errno.h>
    #include <liburing.h>

    #ifndef IORING_FEAT_RECVSEND_BUNDLE      /* Linux 6.10 */
    #define IORING_FEAT_RECVSEND_BUNDLE (1U << 14)
    #endif
    #ifndef IORING_FEAT_MIN_TIMEOUT          /* Linux 6.12 */
    #define IORING_FEAT_MIN_TIMEOUT (1U << 15)
    #endif

    /* Submit what is queued and, unless timeout_ns is 0, sleep until there is
       a completion; -1 sleeps for ever.  Completions that wait for this
       thread to enter the kernel are posted in every case. */
    static inline int aioadapt_enter(struct io_uring *ring, long long timeout_ns) {
        struct io_uring_cqe *unused;
        struct __kernel_timespec ts;
        if (timeout_ns == 0)
            return io_uring_submit_and_get_events(ring);
        if (timeout_ns < 0)
            return io_uring_submit_and_wait(ring, 1);
        ts.tv_sec = timeout_ns / 1000000000LL;
        ts.tv_nsec = timeout_ns % 1000000000LL;
        return io_uring_submit_and_wait_timeout(ring, &unused, 1, &ts, NULL);
    }

    static inline int aioadapt_overflowed(struct io_uring *ring) {
        return (IO_URING_READ_ONCE(*ring->sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0;
    }

    /* Copy up to room completions out of the ring and give their places back. */
    struct aioadapt_completion { void *op; int result; unsigned flags; };
    static inline unsigned aioadapt_collect(
        struct io_uring *ring, struct aioadapt_completion *into, unsigned room)
    {
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;
        io_uring_for_each_cqe(ring, head, cqe) {
            if (n == room) break;
            into[n].op = (void *)(uintptr_t)cqe->user_data;
            into[n].result = cqe->res;
            into[n].flags = cqe->flags;
            n++;
        }
        io_uring_cq_advance(ring, n);
        return n;
    }
    """
    const unsigned int IORING_FEAT_RECVSEND_BUNDLE
    const unsigned int IORING_FEAT_MIN_TIMEOUT

    struct Completion "aioadapt_completion":
        void *op
        int result
        unsigned int flags

    int enter "aioadapt_enter"(io_uring *ring, long long timeout_ns) noexcept nogil
    bint overflowed "aioadapt_overflowed"(io_uring *ring) noexcept nogil
    unsigned int collect_into "aioadapt_collect"(
        io_uring *ring, Completion *into, unsigned int room) noexcept nogil


cdef extern from "<liburing.h>" nogil:

    # What a ring is made of.

    struct io_uring:
        int ring_fd
        unsigned int flags
        unsigned int features

    struct io_uring_params:
        uint32_t cq_entries
        uint32_t flags
        uint32_t features

    struct io_uring_sqe:
        uint8_t flags
        uint64_t user_data
        uint16_t buf_group

    struct io_uring_cqe:
        uint64_t user_data
        int32_t res
        uint32_t flags

    struct io_uring_probe:
        pass

    struct io_uring_buf:
        pass

    struct io_uring_buf_ring:
        pass

    struct io_uring_buf_reg:
        uint64_t ring_addr
        uint32_t ring_entries
        uint16_t bgid

    struct __kernel_timespec:
        int64_t tv_sec
        long long tv_nsec

    # How it is set up.

    const unsigned int IORING_SETUP_CQSIZE
    const unsigned int IORING_SETUP_CLAMP
    const unsigned int IORING_SETUP_R_DISABLED
    const unsigned int IORING_SETUP_SUBMIT_ALL
    const unsigned int IORING_SETUP_SINGLE_ISSUER
    const unsigned int IORING_SETUP_DEFER_TASKRUN

    const unsigned int IORING_FEAT_NODROP
    const unsigned int IORING_FEAT_EXT_ARG

    int io_uring_queue_init_params(
        unsigned int entries, io_uring *ring, io_uring_params *params)
    void io_uring_queue_exit(io_uring *ring)
    int io_uring_enable_rings(io_uring *ring)
    int io_uring_ring_dontfork(io_uring *ring)

    const int IORING_OP_SEND_ZC

    io_uring_probe *io_uring_get_probe_ring(io_uring *ring)
    bint io_uring_opcode_supported(const io_uring_probe *probe, int opcode)
    void io_uring_free_probe(io_uring_probe *probe)

    # Buffers lent to the kernel.

    int io_uring_register_buf_ring(
        io_uring *ring, io_uring_buf_reg *reg, unsigned int flags)
    int io_uring_unregister_buf_ring(io_uring *ring, int group)
    void io_uring_buf_ring_init(io_uring_buf_ring *buffers)
    int io_uring_buf_ring_mask(uint32_t ring_entries)
    void io_uring_buf_ring_add(
        io_uring_buf_ring *buffers, void *addr, unsigned int len, unsigned short bid,
        int mask, int buf_offset)
    void io_uring_buf_ring_advance(io_uring_buf_ring *buffers, int count)

    # What is asked of it.

    const unsigned int IOSQE_BUFFER_SELECT
    const unsigned int IORING_ASYNC_CANCEL_ALL

    io_uring_sqe *io_uring_get_sqe(io_uring *ring)
    void io_uring_sqe_set_data64(io_uring_sqe *sqe, uint64_t data)
    void io_uring_prep_multishot_accept(
        io_uring_sqe *sqe, int fd, void *addr, void *addrlen, int flags)
    void io_uring_prep_recv(
        io_uring_sqe *sqe, int sockfd, void *buf, size_t len, int flags)
    void io_uring_prep_recv_multishot(
        io_uring_sqe *sqe, int sockfd, void *buf, size_t len, int flags)
    void io_uring_prep_send(
        io_uring_sqe *sqe, int sockfd, const void *buf, size_t len, int flags)
    void io_uring_prep_sendmsg(
        io_uring_sqe *sqe, int fd, const msghdr *message, unsigned int flags)
    void io_uring_prep_poll_add(io_uring_sqe *sqe, int fd, unsigned int poll_mask)
    void io_uring_prep_poll_multishot(io_uring_sqe *sqe, int fd, unsigned int poll_mask)
    void io_uring_prep_cancel64(io_uring_sqe *sqe, uint64_t user_data, int flags)
    void io_uring_prep_cancel_fd(io_uring_sqe *sqe, int fd, unsigned int flags)

    # What it answers.

    const unsigned int IORING_CQE_F_BUFFER
    const unsigned int IORING_CQE_F_MORE
    const unsigned int IORING_CQE_BUFFER_SHIFT

    int io_uring_submit_and_wait_timeout(
        io_uring *ring, io_uring_cqe **cqe_ptr, unsigned int wait_nr,
        __kernel_timespec *ts, void *sigmask)
    int io_uring_peek_cqe(io_uring *ring, io_uring_cqe **cqe_ptr)
    void io_uring_cqe_seen(io_uring *ring, io_uring_cqe *cqe)

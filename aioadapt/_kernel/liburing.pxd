"""The liburing calls that we use, and no others.

Constants newer than liburing 2.3 are defined here.  Whether the kernel
supports them is found out by probing it (features.pyx), never from the header.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from aioadapt._kernel.linux cimport msghdr

cdef extern from *:
    """
    #include <errno.h>
    #include <liburing.h>

    #ifndef IORING_SETUP_SUBMIT_ALL
    #define IORING_SETUP_SUBMIT_ALL (1U << 7)
    #endif
    #ifndef IORING_SETUP_SINGLE_ISSUER
    #define IORING_SETUP_SINGLE_ISSUER (1U << 12)
    #endif
    #ifndef IORING_SETUP_DEFER_TASKRUN
    #define IORING_SETUP_DEFER_TASKRUN (1U << 13)
    #endif
    #ifndef IORING_FEAT_RECVSEND_BUNDLE
    #define IORING_FEAT_RECVSEND_BUNDLE (1U << 14)
    #endif
    #ifndef IORING_FEAT_MIN_TIMEOUT
    #define IORING_FEAT_MIN_TIMEOUT (1U << 15)
    #endif

    /* Submit what is queued and, unless timeout_ns is 0, sleep until there is
       a completion; -1 sleeps forever.  In every case, completions that wait
       for this thread to enter the kernel are posted. */
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

    /* Copy up to room completions out of the ring and free their entries. */
    struct aioadapt_completion { void *op; int result; unsigned flags; };
    static inline unsigned aioadapt_reap(
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
    struct __kernel_timespec:
        pass
    struct io_uring_sqe:
        uint8_t flags
        uint64_t user_data
        uint16_t buf_group
        uint16_t ioprio
    struct io_uring:
        int ring_fd
    struct io_uring_params:
        unsigned flags
        unsigned cq_entries
        unsigned features
    struct io_uring_buf_ring:
        pass
    struct io_uring_buf_reg:
        uint64_t ring_addr
        uint32_t ring_entries
        uint16_t bgid

    struct io_uring_probe:
        pass

    struct Completion "aioadapt_completion":
        void *op
        int result
        unsigned flags

    unsigned IORING_SETUP_CQSIZE, IORING_SETUP_CLAMP, IORING_SETUP_R_DISABLED
    unsigned IORING_SETUP_SUBMIT_ALL, IORING_SETUP_SINGLE_ISSUER
    unsigned IORING_SETUP_DEFER_TASKRUN
    unsigned IORING_FEAT_NODROP, IORING_FEAT_EXT_ARG
    unsigned IORING_FEAT_RECVSEND_BUNDLE, IORING_FEAT_MIN_TIMEOUT
    int IORING_OP_SEND_ZC
    unsigned IORING_CQE_F_BUFFER, IORING_CQE_F_MORE, IORING_CQE_BUFFER_SHIFT
    unsigned IORING_POLL_ADD_MULTI
    unsigned IOSQE_BUFFER_SELECT
    unsigned IORING_ASYNC_CANCEL_ALL

    int io_uring_queue_init_params(
        unsigned entries, io_uring *ring, io_uring_params *params) nogil
    void io_uring_queue_exit(io_uring *ring) nogil
    int io_uring_enable_rings(io_uring *ring) nogil
    int io_uring_ring_dontfork(io_uring *ring) nogil
    io_uring_probe *io_uring_get_probe_ring(io_uring *ring) nogil
    bint io_uring_opcode_supported(const io_uring_probe *probe, int opcode) nogil
    void io_uring_free_probe(io_uring_probe *probe) nogil
    int io_uring_submit(io_uring *ring) nogil
    io_uring_sqe *io_uring_get_sqe(io_uring *ring) nogil
    void io_uring_sqe_set_flags(io_uring_sqe *sqe, unsigned flags) nogil

    void io_uring_prep_nop(io_uring_sqe *sqe) nogil
    void io_uring_prep_recv(
        io_uring_sqe *sqe, int fd, void *buffer, size_t size, int flags) nogil
    void io_uring_prep_recv_multishot(
        io_uring_sqe *sqe, int fd, void *buffer, size_t size, int flags) nogil
    void io_uring_prep_send(
        io_uring_sqe *sqe, int fd, const void *buffer, size_t size, int flags) nogil
    void io_uring_prep_sendmsg(
        io_uring_sqe *sqe, int fd, const msghdr *message, unsigned flags) nogil
    void io_uring_prep_poll_add(io_uring_sqe *sqe, int fd, unsigned mask) nogil
    void io_uring_prep_poll_multishot(io_uring_sqe *sqe, int fd, unsigned mask) nogil
    void io_uring_prep_cancel64(
        io_uring_sqe *sqe, uint64_t user_data, int flags) nogil
    void io_uring_prep_cancel_fd(io_uring_sqe *sqe, int fd, unsigned flags) nogil

    int io_uring_register_buf_ring(
        io_uring *ring, io_uring_buf_reg *registration, unsigned flags) nogil
    int io_uring_unregister_buf_ring(io_uring *ring, int group) nogil
    void io_uring_buf_ring_init(io_uring_buf_ring *buffers) nogil
    void io_uring_buf_ring_add(
        io_uring_buf_ring *buffers, void *address, unsigned size,
        unsigned short number, int mask, int offset) nogil
    void io_uring_buf_ring_advance(io_uring_buf_ring *buffers, int count) nogil
    int io_uring_buf_ring_mask(uint32_t entries) nogil

    int enter "aioadapt_enter"(io_uring *ring, long long timeout_ns) noexcept nogil
    bint overflowed "aioadapt_overflowed"(io_uring *ring) noexcept nogil
    unsigned reap_into "aioadapt_reap"(
        io_uring *ring, Completion *into, unsigned room) noexcept nogil

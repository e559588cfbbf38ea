"""How long this thread has run, and how often it waited."""

cdef extern from *:
    """
    #include <sys/resource.h>

    struct aioadapt_thread_times {
        long long run_ns;
        long waits;
    };

    static inline struct aioadapt_thread_times aioadapt_thread_times(void) {
        struct rusage usage;
        struct aioadapt_thread_times times = {0, 0};
        if (getrusage(RUSAGE_THREAD, &usage) == 0) {
            times.run_ns = 1000000000LL * (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
                + 1000LL * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
            times.waits = usage.ru_nvcsw;
        }
        return times;
    }
    """
    struct ThreadTimes "aioadapt_thread_times":
        long long run_ns             # on a CPU, user and system
        long waits                   # for a lock, a sleep, a disk; not being preempted
    ThreadTimes thread_times "aioadapt_thread_times"() noexcept nogil

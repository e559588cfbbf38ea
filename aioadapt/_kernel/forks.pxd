cdef unsigned long long forks

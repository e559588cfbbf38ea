from aioadapt._loop.hooks cimport RELEASE_RAISED, ReleaseStep
from aioadapt._stream.inbound cimport Inbound


cdef class Released:
    cdef:
        readonly int fd, family, type, proto
        readonly object peername, sockname, tag
        readonly bytes unread
        readonly unsigned long long id
        readonly long long requests
        readonly double last_byte_at


cdef class Stream(Inbound):
    cdef bint is_quiet(self) noexcept
    cdef object finish_release(self)
    cdef ReleaseStep try_release(self) except RELEASE_RAISED
    cdef int resume_serving(self) except -1


cdef Stream new_stream(
    object loop, int fd, int family, int type, int proto, object protocol, object server)

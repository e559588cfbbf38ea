from aioadapt._engine.driver cimport Driver
from aioadapt._loop.hooks cimport FlushHook
from aioadapt._loop.moving cimport RELEASE_RAISED, ReleaseRequest, ReleaseStep
from aioadapt._stream.detaching cimport Detaching
from aioadapt._stream.inbound cimport Inbound


cdef class Released:
    cdef:
        readonly int fd, family, type, proto
        readonly object peername, sockname, tag
        readonly bytes unread
        readonly unsigned long long id
        readonly long long requests
        readonly double last_byte_at


cdef class StreamRequest(ReleaseRequest):
    cdef:
        Stream stream
        object handler


cdef class SwapHook(FlushHook):
    cdef Stream stream


cdef class Stream(Inbound):
    cdef:
        readonly unsigned long long id
        long long requests_before    # answered on other loops
        public object tag            # moves with the connection; see Released
        Detaching detaching
        StreamRequest request        # to release it; or None
        unsigned long long settle_iteration   # in which settling began
        Driver next_driver           # serves it once the present one has detached; or None
        SwapHook swap_hook           # None until first needed
        long long swap_began_ns

    cdef bint is_quiet(self) noexcept
    cdef bint can_leave(self) noexcept
    cdef object finish_release(self)
    cdef ReleaseStep try_release(self) except RELEASE_RAISED
    cdef int resume_serving(self) except -1
    cdef int queue_swap(self) except -1
    cdef int swap_at_once(self) except -1
    cdef int begin_swap(self) except -1
    cdef int finish_swap(self) except -1


cdef Stream new_stream(
    object loop, int fd, int family, int type, int proto, object protocol, object server)

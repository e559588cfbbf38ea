from aioadapt._engine.driver cimport Driven
from aioadapt._kernel.thread_times cimport ThreadTimes
from aioadapt._loop.core cimport LoopCore
from aioadapt._stream.life cimport Life
from aioadapt._stream.outgoing cimport Outgoing


cdef enum Gathering:
    GATHERS          # what a callback writes is sent when it ends
    GATHERS_TIMED    # as well, and how long it was held is measured
    SENDS_AT_ONCE    # callbacks have worked on for long after they wrote


cdef enum NotReading:                # why the driver does not read: a set of these
    NOT_OPEN = 1
    PAUSED = 2                       # pause_reading
    AT_END = 4                       # the peer will send no more
    HOLDS_BYTES = 8                  # the protocol has not seen all that was received,
    HOLDS_END = 16                   # nor the end
    STOPPED_TO_MOVE = 32


cdef class Endpoint(Driven):
    cdef:
        LoopCore loop
        readonly object transport    # what the protocol sees; kept until it ends
        object protocol
        # As in asyncio: of who made the connection or resumed reading; of who wrote
        # what the socket had no room for; and of who closed.
        object reader_context, writer_context, ending_context
        object server                # asyncio's Server, or None
        dict extra                   # more entries for get_extra_info, or None
        object sock                  # the socket object that owns fd, once there is one
        object kept_open             # what hold_socket returned for it
        object shown_socket          # a StreamSocket: what get_extra_info returned; or None
        Life life
        bint is_paused               # pause_reading
        bint is_buffered             # the protocol supplies its own buffer
        bint eof_seen                # the peer will send no more
        bint eof_asked, eof_sent     # write_eof
        bint protocol_paused         # pause_writing was called
        Outgoing out
        Py_ssize_t high_bytes, low_bytes
        Gathering gathering
        int writes_at_once           # SENDS_AT_ONCE: so many more
        long long gathered_at_ns     # GATHERS_TIMED: when the running callback wrote first
        ThreadTimes gathered_at      # and the thread's own times then
        tuple odd_limits             # (low, high) as given, if not ints of that size
        int lost_writes              # writes since the connection was lost
        object ending_exc
        object empty_waiter          # a future, done when everything is sent

        # Bytes that were read, or taken back from the kernel, and that the
        # protocol has not seen; and what came after them: 0 nothing, 1 end
        # of file, or a negative errno.
        list held
        int held_end
        bint delivers_soon           # what is held: _deliver_held is scheduled

        object peername_known, sockname_known

    cdef int close(self) except -1
    cdef int send_gathered(self) except -1
    cdef int abort(self, object exc) except -1
    cdef int fatal(self, object exc, str message) except -1
    cdef int set_protocol(self, object protocol) except -1
    cdef object get_socket(self)
    cdef object get_extra(self, object name, object default)
    cdef unsigned not_reading(self) noexcept
    cdef int update_reading(self) except -1
    cdef int update_reading_or_end(self) except -1
    cdef int update_room_or_end(self) except -1
    cdef int pause_reading(self) except -1
    cdef int resume_reading(self) except -1
    cdef int deliver_held_soon(self) except -1
    cdef object call_protocol(self, str name, object argument)
    cdef int end(self, object exc) except -1
    cdef int call_connection_lost_soon(self) except -1
    cdef bint is_detaching(self) noexcept
    cdef int has_ended(self) except -1
    cdef int unregister(self) except -1
    cdef int close_descriptor(self) except -1


cdef object life_in_words(Life life)

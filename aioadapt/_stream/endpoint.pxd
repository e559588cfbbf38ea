from aioadapt._http1.exchange cimport Exchange
from aioadapt._kernel.thread_times cimport ThreadTimes
from aioadapt._loop.core cimport LoopCore
from aioadapt._loop.hooks cimport Detachable
from aioadapt._stream.life cimport Life
from aioadapt._stream.outgoing cimport Outgoing


cdef enum Gathering:
    GATHERS          # what a callback writes is sent when it ends
    GATHERS_TIMED    # as well, and how long it was held is measured
    SENDS_AT_ONCE    # callbacks have worked on for long after they wrote


cdef class Driver:
    cdef int serve(self, Endpoint stream) except -1
    cdef int start_reading(self) except -1
    cdef int stop_reading(self) except -1
    cdef int update_room(self) except -1
    cdef int detach(self) except -1
    cdef bint is_in_kernel(self) noexcept
    cdef int park(self) except -1
    cdef int unpark(self) except -1


cdef class Endpoint(Detachable):
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
        readonly int fd              # owned until GIVEN_AWAY; then -1
        readonly int family, type, proto
        Driver driver
        Life life
        bint is_reading              # the driver has been told to read
        bint is_paused               # pause_reading
        bint is_buffered             # the protocol supplies its own buffer
        Py_ssize_t last_received     # bytes of the last recv(2)
        bint eof_seen                # the peer will send no more
        bint eof_asked, eof_sent     # write_eof
        bint protocol_paused         # pause_writing was called
        Outgoing out
        Py_ssize_t high_bytes, low_bytes
        Gathering gathering
        int writes_at_once           # SENDS_AT_ONCE: so many more
        long long gathered_at_ns     # GATHERS_TIMED: when the running callback wrote first
        ThreadTimes gathered_at      # and the thread's own times then
        bint wants_room              # the socket is full: the driver reports when it is not
        tuple odd_limits             # (low, high) as given, if not ints of that size
        int lost_writes              # writes since the connection was lost
        object ending_exc
        bint is_detached             # set while ENDING: the descriptor may be closed
        bint lost_is_due             # connection_lost only waits for the kernel
        object empty_waiter          # a future, done when everything is sent

        # Bytes that were read, or taken back from the kernel, and that the
        # protocol has not seen; and what came after them: 0 nothing, 1 end
        # of file, or a negative errno.
        list held
        int held_end
        bint delivers_soon           # what is held: _deliver_held is scheduled

        object peername_known, sockname_known

        # For moving.  Only streams of plain servers, on a loop with watch_http1,
        # have an exchange.
        Exchange exchange
        long long asked_at_ns        # when the oldest unanswered request arrived
        readonly object release_handler       # told how the requested release goes
        bint is_releasing            # the driver is detaching, for a release
        bint release_is_cancelled    # cancelled while is_releasing
        bint is_orphaned             # the loop is closed
        unsigned long long settle_iteration   # in which settling began
        readonly unsigned long long id
        long long requests_before    # answered on other loops
        long long last_byte_ns
        public object tag            # moves with the connection; see Released

    cdef int close(self) except -1
    cdef int send_gathered(self) except -1
    cdef int abort(self, object exc) except -1
    cdef int fatal(self, object exc, str message) except -1
    cdef int set_protocol(self, object protocol) except -1
    cdef object get_socket(self)
    cdef object get_extra(self, object name, object default)
    cdef int on_detached(self) except -1
    cdef int update_reading(self) except -1
    cdef int update_reading_or_end(self) except -1
    cdef int update_room_or_end(self) except -1
    cdef int pause_reading(self) except -1
    cdef int resume_reading(self) except -1
    cdef int deliver_held_soon(self) except -1
    cdef int unpark(self) except -1
    cdef object call_protocol(self, str name, object argument)
    cdef int end(self, object exc) except -1
    cdef int call_connection_lost_soon(self) except -1
    cdef int unregister(self) except -1
    cdef int close_descriptor(self) except -1


cdef object life_in_words(Life life)

from aioadapt._http1.exchange cimport Exchange
from aioadapt._loop.core cimport Detachable, LoopCore
from aioadapt._stream.life cimport Life
from aioadapt._stream.outgoing cimport Outgoing


cdef class Driver:
    cdef int serve(self, Endpoint stream) except -1
    cdef int start_reading(self) except -1
    cdef int stop_reading(self) except -1
    cdef int send(self, bint immediately) except -1
    cdef int detach(self) except -1
    cdef bint is_sending(self) noexcept
    cdef bint is_in_kernel(self) noexcept


cdef class Endpoint(Detachable):
    cdef:
        LoopCore loop
        readonly object transport    # what the protocol sees; kept until it ends
        object protocol
        object context               # in which the protocol's methods run
        object server                # asyncio's Server, or None
        dict extra                   # more entries for get_extra_info, or None
        object sock                  # the socket object that owns fd, once there is one
        object kept_open             # what hold_socket returned for it
        readonly int fd              # owned until GIVEN_AWAY; then -1
        readonly int family, type, proto
        Driver driver
        Life life
        bint is_reading              # the driver has been told to read
        bint is_paused               # pause_reading
        bint is_buffered             # the protocol supplies its own buffer
        bint eof_seen                # the peer will send no more
        bint eof_asked, eof_sent     # write_eof
        bint protocol_paused         # pause_writing was called
        Outgoing out
        Py_ssize_t high_bytes, low_bytes
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
    cdef int send_untried(self) except -1
    cdef int abort(self, object exc) except -1
    cdef int fatal(self, object exc, str message) except -1
    cdef int set_protocol(self, object protocol) except -1
    cdef object get_socket(self)
    cdef object get_extra(self, object name, object default)
    cdef int on_detached(self) except -1
    cdef int update_reading(self) except -1
    cdef int pause_reading(self) except -1
    cdef int resume_reading(self) except -1
    cdef int deliver_held_soon(self) except -1
    cdef object call_protocol(self, str name, object argument)
    cdef int end(self, object exc) except -1
    cdef int call_connection_lost_soon(self) except -1
    cdef int unregister(self) except -1
    cdef int close_descriptor(self) except -1


cdef object life_in_words(Life life)

"""Outbound bytes: gathering writes, and backpressure.

What one callback writes is sent when that callback ends, in one call: a server that
writes the head and the body of a response costs a third less.  Nothing waits longer.
Sent at once is what is written while no callback of the loop runs, what exceeds the
high-water mark (so that large writes are not buffered twice), and a response that is
complete.  Whoever asks for the state of writing, or for the socket, finds it sent.

A callback that works on after it wrote delays its own bytes.  That is noticed when it
ends, and then writes of that stream are sent at once for a while:

    GATHERS --2 ms since the loop last flushed--> GATHERS_TIMED
    GATHERS_TIMED --it worked or waited for 2 ms--> SENDS_AT_ONCE, else --> GATHERS
    SENDS_AT_ONCE --WRITES_AT_ONCE writes--> GATHERS_TIMED

The first needs a look at the clock and nothing else.  But it counts other callbacks,
and a CPU that was taken by another process: those are told apart by the thread's own
times, for which the kernel has to be asked.

If the socket does not take enough, the protocol is paused.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.contextvars cimport PyContext_CopyCurrent, PyContext_Exit

from libc.errno cimport EINTR, errno

from aioadapt._kernel.linux cimport SHUT_WR, now_ns, shutdown
from aioadapt._kernel.thread_times cimport ThreadTimes, thread_times
from aioadapt._loop.counters cimport count_answers, count_failure
from aioadapt._loop.handle cimport enter_context
from aioadapt._stream.endpoint cimport (
    GATHERS,
    GATHERS_TIMED,
    SENDS_AT_ONCE,
    Endpoint,
)
from aioadapt._stream.life cimport CLOSING, ENDING, GIVEN_AWAY, OPEN

import logging
import os
from math import floor

from aioadapt.stdlib_private import NOT_BYTES, SILENT_LOST_WRITES

cdef object logger = logging.getLogger("asyncio")

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    HIGH_WATER_BYTES = 65536     # asyncio's
    # Guesses: longer than the rest of nearly every callback; and a server that has
    # become quick is given its gathering back after a few responses.
    HELD_TOO_LONG_NS = 2_000_000
    WRITES_AT_ONCE = 64


cdef class Outbound(Endpoint):
    """See the top of this file."""

    cdef int write(self, object data) except -1:
        cdef bint is_scattered = False
        cdef bint is_answered = False
        if not PyBytes_CheckExact(data):
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"{NOT_BYTES}{type(data).__name__!r}")
            is_scattered = isinstance(data, memoryview) and not data.c_contiguous
            # Copied: the caller may change its buffer before the iteration ends.
            data = bytes(data)
        # As in asyncio, a closing transport with bytes left to send accepts more:
        # this is how TLS sends its last records.
        if self.eof_asked:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.empty_waiter is not None:
            raise RuntimeError("unable to write; sendfile is in progress")
        if self.life == GIVEN_AWAY:
            raise RuntimeError(
                f"cannot write to {self.transport!r}: its connection was moved to another "
                "loop, which has created a new protocol for it")
        if PyBytes_GET_SIZE(data) == 0:
            return 0
        if self.life >= ENDING:
            if self.lost_writes >= SILENT_LOST_WRITES:
                logger.warning("socket.send() raised exception.")
            self.lost_writes += 1
            return 0
        if is_scattered:
            # send(2) cannot take it; in asyncio that is a fatal error too.
            return self.fatal(
                BufferError("memoryview: underlying buffer is not C-contiguous"),
                "Fatal write error on socket transport")
        if self.exchange is not None:
            is_answered = self.watch_outbound(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        self.out.add(data)
        if self.out.size > self.high_bytes:
            self.send_now()
            return self.pause_protocol_if_full()
        if is_answered or not self.loop.is_gathering:
            return self.send_now()
        if self.gathering != GATHERS and not self.is_queued:
            if self.gathering == SENDS_AT_ONCE:
                self.writes_at_once -= 1
                if self.writes_at_once == 0:
                    self.gathering = GATHERS_TIMED
                return self.send_now()
            self.gathered_at_ns = now_ns()
            self.gathered_at = thread_times()
        self.loop.flush_queue.add(self)
        return 0

    cdef int set_protocol(self, object protocol) except -1:
        if self.exchange is not None and self.protocol is not None:
            # STARTTLS or a WebSocket: what follows is not HTTP/1.
            self.exchange.give_up("the protocol was replaced")
        return Endpoint.set_protocol(self, protocol)

    cdef int flush(self) except -1:
        """Send what has been gathered."""
        if self.out.size and self.life <= CLOSING:
            self.time_gathering()
            return self.send_now()
        return 0

    cdef void time_gathering(self) noexcept:
        cdef long long now = now_ns()
        cdef ThreadTimes times
        if self.gathering == GATHERS_TIMED:
            self.gathering = GATHERS
            if now - self.gathered_at_ns > HELD_TOO_LONG_NS:
                times = thread_times()
                if times.run_ns - self.gathered_at.run_ns > HELD_TOO_LONG_NS \
                        or times.waits != self.gathered_at.waits:
                    self.gathering = SENDS_AT_ONCE
                    self.writes_at_once = WRITES_AT_ONCE
        elif now - self.loop.flushed_at_ns > HELD_TOO_LONG_NS:
            self.gathering = GATHERS_TIMED
        self.loop.flushed_at_ns = now

    cdef int send_now(self) except -1:
        """Send what the socket takes; the rest when it has room."""
        cdef Py_ssize_t n
        cdef bint is_full = False
        while self.out.size and not self.wants_room:
            self.loop.counted.sends += 1
            n = self.out.send(self.fd, &is_full)
            if n > 0:
                self.sent(n)
            elif n != -EINTR and not is_full:
                return self.send_failed(-n)
            if self.life >= ENDING:
                return 0
            if is_full and self.out.size:
                return self.wait_for_room()
        return 0

    cdef int wait_for_room(self) except -1:
        self.wants_room = True
        self.writer_context = PyContext_CopyCurrent()
        # Not an error of the write: what it is about may be sent already.
        return self.update_room_or_end()

    cdef int writable(self) except -1:
        """From the driver: the socket has room again."""
        cdef object context = self.writer_context
        cdef bint entered = enter_context(context)
        self.wants_room = False
        try:
            self.send_now()
            if self.out.size == 0:
                self.all_sent()      # again, if an interrupt came in between
            return self.loop.flush_queue.run()
        finally:
            if entered:
                PyContext_Exit(context)
            if not self.wants_room and self.life < ENDING:
                self.update_room_or_end()

    cdef bint watch_outbound(self, const char *data, Py_ssize_t n) noexcept:
        """Is this the end of a response?"""
        cdef long long responses = self.exchange.responses
        self.exchange.saw_outbound(data, n)
        responses = self.exchange.responses - responses
        if responses:
            count_answers(&self.loop.counted, responses, self.asked_at_ns)
        return responses != 0

    cdef int sent(self, Py_ssize_t n) except -1:
        """The kernel has taken n bytes."""
        self.loop.counted.bytes_out += n
        self.last_byte_ns = self.loop.awake_since_ns
        self.out.sent(n)
        if self.protocol_paused and self.out.size <= self.low_bytes:
            self.protocol_paused = False
            try:
                self.call_flow_control("resume_writing")
            except BaseException:
                # A KeyboardInterrupt ends the run; the rest follows in the next one.
                if self.life < ENDING:
                    self.wait_for_room()
                raise
        if self.out.size == 0:
            self.all_sent()
        return 0

    cdef int all_sent(self) except -1:
        if self.empty_waiter is not None and not self.empty_waiter.done():
            self.empty_waiter.set_result(None)
        if self.life == CLOSING:
            self.end(None)
        elif self.eof_asked and self.life == OPEN:
            self.shut_down_writing()
        return 0

    cdef int send_failed(self, int error) except -1:
        if self.life >= ENDING:
            return 0
        count_failure(&self.loop.counted, error)
        return self.fatal(
            OSError(error, os.strerror(error)), "Fatal write error on socket transport")

    cdef int pause_protocol_if_full(self) except -1:
        if self.out.size > self.high_bytes and not self.protocol_paused \
                and self.life < ENDING:
            self.protocol_paused = True
            self.call_flow_control("pause_writing")
        return 0

    cdef int call_flow_control(self, str name) except -1:
        try:
            getattr(self.protocol, name)()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.loop.call_exception_handler({
                "message": f"protocol.{name}() failed",
                "exception": exc,
                "transport": self.transport,
                "protocol": self.protocol,
            })
        return 0

    cdef int set_limits(self, object high, object low) except -1:
        self.send_gathered()
        if high is None and low is None:
            self.odd_limits = None
            self.high_bytes, self.low_bytes = HIGH_WATER_BYTES, HIGH_WATER_BYTES // 4
            return self.pause_protocol_if_full()
        if high is None:
            high = 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self.high_bytes, self.low_bytes = whole(high), whole(low)
        self.odd_limits = None
        if type(high) is not int or type(low) is not int or high > PY_SSIZE_T_MAX:
            self.odd_limits = (low, high)
        return self.pause_protocol_if_full()

    cdef int write_eof(self) except -1:
        if self.life >= CLOSING or self.eof_asked:
            return 0
        self.send_gathered()         # written before: it may fail, or write more
        if self.life >= CLOSING or self.eof_asked:
            return 0
        self.eof_asked = True
        if self.out.size == 0 and self.shut_down_writing() < 0:
            raise OSError(errno, os.strerror(errno))
        return 0

    cdef int shut_down_writing(self) noexcept:
        """Negative and errno if the connection is gone, which reading reports too."""
        if self.eof_sent:
            return 0
        self.eof_sent = True
        return shutdown(self.fd, SHUT_WR)


cdef Py_ssize_t whole(object limit) except -1:
    """The int for which ``size > int`` is the same as ``size > limit``, for any size."""
    if limit >= PY_SSIZE_T_MAX:
        return PY_SSIZE_T_MAX
    return floor(limit)

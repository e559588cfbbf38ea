"""Inbound bytes: deliver them to the protocol, or hold them while it does not read.

Paused means: deliver nothing and receive no more.  Bytes that had been received
before reading stopped are *held*.  They are delivered, in order, when reading
resumes, or they move along with the connection.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.contextvars cimport PyContext_Exit
from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memcpy

from aioadapt._kernel.linux cimport MSG_DONTWAIT, now_ns, recv
from aioadapt._loop.core cimport READ_BYTES
from aioadapt._loop.counters cimport count_failure
from aioadapt._loop.handle cimport enter_context
from aioadapt._stream.endpoint cimport NOT_OPEN, PAUSED, STOPPED_TO_MOVE
from aioadapt._stream.life cimport ENDED, OPEN
from aioadapt._stream.outbound cimport Outbound

import logging
import os

from aioadapt.stdlib_private import report_slow_read

cdef extern from "Python.h":
    object PyObject_CallMethodOneArg(object self, object name, object argument)

cdef object logger = logging.getLogger("asyncio")


cdef class Inbound(Outbound):
    """See the top of this file."""

    cdef int received(self, const char *data, Py_ssize_t n) except -1:
        """From the driver: these bytes have arrived."""
        cdef object context = self.reader_context
        cdef bint entered, is_done = False
        self.loop.counted.bytes_in += n
        self.loop.counted.receives += 1
        if not self.is_reading or self.loop.is_parked:
            return self.hold(data, n)
        entered = enter_context(context)
        try:
            self.deliver(data, n)
            self.loop.flush_queue.run()
            is_done = True
        finally:
            if entered:
                PyContext_Exit(context)
            if not is_done:
                # A KeyboardInterrupt ends the run; what reached no buffer is held.
                self.deliver_held_soon()
                self.update_reading_or_end()
        return 0

    cdef int received_end(self, int end, bint has_buffer=False) except -1:
        """From the driver: end of file (1) or a negative errno; nothing comes after it.

        *has_buffer*: it was read into the protocol's own buffer.  As in asyncio, it is
        then told of it even if it has paused or aborted in ``get_buffer``.
        """
        cdef object context = self.reader_context
        cdef bint entered
        if not has_buffer and (not self.is_reading or self.loop.is_parked):
            if self.life == OPEN:
                self.held_end = end
            return 0
        entered = enter_context(context)
        try:
            # As in asyncio, a buffer has been asked for when the end is found.
            if not self.is_buffered or has_buffer or self.has_next_buffer():
                self.deliver_end(end)
            return self.loop.flush_queue.run()
        except BaseException:
            self.deliver_held_soon()
            raise
        finally:
            if entered:
                PyContext_Exit(context)

    cdef int received_end_after_bytes(self, int end) except -1:
        """As in asyncio, it is found in the iteration after that of the bytes."""
        if self.life != OPEN:
            return self.received_end(end)
        self.held_end = end
        self.deliver_held_soon()
        return self.update_reading()

    cdef Py_ssize_t readable(self) except -1:
        """From the driver: receive and deliver, once; it reports again what is left."""
        cdef char *buffer
        cdef Py_ssize_t n
        if self.is_buffered and self.exchange is None:
            return self.receive_into_buffer()
        buffer = self.loop.buffer_to_read()
        n = recv(self.fd, buffer, READ_BYTES, MSG_DONTWAIT)
        if n > 0:
            self.received(buffer, n)
            return n
        if n == 0 or (errno != EAGAIN and errno != EINTR):
            self.received_end(1 if n == 0 else -errno)
        return 0

    cdef Py_ssize_t receive_into_buffer(self) except -1:
        """Receive directly into the protocol's buffer."""
        cdef object context = self.reader_context
        cdef bint entered = enter_context(context)
        cdef Py_buffer view
        cdef Py_ssize_t n
        cdef int error
        try:
            buffer = self.next_buffer()
            # As in asyncio, it is filled even if the protocol has closed meanwhile.
            if buffer is None or self.life >= ENDED:
                return 0
            if not self.can_fill(buffer, &view):
                return 0
            n = recv(self.fd, view.buf, view.len, MSG_DONTWAIT)
            error = errno
            PyBuffer_Release(&view)
            if n > 0:
                self.loop.counted.bytes_in += n
                self.loop.counted.receives += 1
                self.buffer_filled(n)
            elif n == 0 or (error != EAGAIN and error != EINTR):
                self.received_end(1 if n == 0 else -error, True)
            self.loop.flush_queue.run()
            return max(n, 0)
        finally:
            if entered:
                PyContext_Exit(context)

    cdef int hold(self, const char *data, Py_ssize_t n) except -1:
        # A closing stream reads no more: drop its bytes.
        if self.life == OPEN:
            if self.held is None:
                self.held = []
            self.held.append(PyBytes_FromStringAndSize(data, n))
        return 0

    cdef int hold_rest(self, const char *data, Py_ssize_t n) except -1:
        """The protocol paused halfway: the rest goes before everything already held."""
        if self.life == OPEN:
            if self.held is None:
                self.held = []
            self.held.insert(0, PyBytes_FromStringAndSize(data, n))
        return 0

    cdef int deliver(self, const char *data, Py_ssize_t n) except -1:
        cdef long long started
        self.last_byte_ns = self.loop.awake_since_ns
        if self.loop._debug:
            started = now_ns()
            self.hand_over(data, n)
            report_slow_read(self.loop, self.transport, (now_ns() - started) * 1e-9)
            return 0
        return self.hand_over(data, n)

    cdef int hand_over(self, const char *data, Py_ssize_t n) except -1:
        cdef object chunk
        if self.is_buffered:
            return self.deliver_to_buffers(data, n)
        if self.exchange is not None:
            self.watch_inbound(data, n)
        chunk = PyBytes_FromStringAndSize(data, n)
        try:
            PyObject_CallMethodOneArg(self.protocol, "data_received", chunk)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.fatal(exc, "Fatal error: protocol.data_received() call failed.")
        return 0

    cdef int deliver_to_buffers(self, const char *data, Py_ssize_t n) except -1:
        """Copy into the protocol's buffers, asking for as many as are needed."""
        cdef Py_buffer view
        cdef Py_ssize_t part
        while n > 0:
            if not self.is_reading:
                return self.hold_rest(data, n)
            if not self.is_buffered:
                return self.hand_over(data, n)     # the protocol was replaced
            try:
                buffer = self.next_buffer()
            except BaseException:
                self.hold_rest(data, n)
                raise
            if buffer is None:
                return 0
            if not self.can_fill(buffer, &view):
                return 0
            if view.len == 0:
                # It has items, but they have no bytes.  Reading into it gives 0, which
                # asyncio takes for the end of the file.
                PyBuffer_Release(&view)
                return self.deliver_end(1)
            try:
                part = min(n, view.len)
                memcpy(view.buf, data, part)
                if self.exchange is not None:
                    self.watch_inbound(data, part)
            finally:
                PyBuffer_Release(&view)
            data += part
            n -= part
            try:
                self.buffer_filled(part)
            except BaseException:
                if n:
                    self.hold_rest(data, n)
                raise
        return 0

    cdef object next_buffer(self):
        """The protocol's buffer; None if it failed to give one: the connection ends."""
        try:
            buffer = self.call_protocol("get_buffer", -1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
            return buffer
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.fatal(exc, "Fatal error: protocol.get_buffer() call failed.")
            return None

    cdef bint has_next_buffer(self) except -1:
        cdef Py_buffer view
        buffer = self.next_buffer()
        if buffer is None or not self.can_fill(buffer, &view):
            return False
        PyBuffer_Release(&view)
        return True

    cdef bint can_fill(self, object buffer, Py_buffer *view) except -1:
        """Get its memory; if that cannot be written to, the connection ends."""
        try:
            PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE)
        except (BufferError, TypeError):
            # The words of socket.recv_into, which asyncio calls.
            self.fatal(
                TypeError("recv_into() argument 1 must be read-write bytes-like object, "
                          f"not {type(buffer).__name__}"),
                "Fatal read error on socket transport")
            return False
        return True

    cdef int buffer_filled(self, Py_ssize_t n) except -1:
        self.last_byte_ns = self.loop.awake_since_ns
        try:
            self.call_protocol("buffer_updated", n)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.fatal(exc, "Fatal error: protocol.buffer_updated() call failed.")
        return 0

    cdef void watch_inbound(self, const char *data, Py_ssize_t n) noexcept:
        cdef bint was_waiting = self.exchange.requests != self.exchange.responses
        self.exchange.saw_inbound(data, n)
        if not was_waiting:
            self.asked_at_ns = self.loop.awake_since_ns

    cdef int deliver_end(self, int end) except -1:
        if end < 0:
            count_failure(&self.loop.counted, -end)
            return self.fatal(
                OSError(-end, os.strerror(-end)), "Fatal read error on socket transport")
        self.eof_seen = True
        self.update_reading_or_end()
        if self.loop._debug:
            logger.debug("%r received EOF", self.transport)
        try:
            keep_open = self.call_protocol("eof_received", None)
        except (SystemExit, KeyboardInterrupt):
            # eof_received is called again if the loop runs again.
            self.eof_seen = False
            self.held_end = end
            raise
        except BaseException as exc:
            return self.fatal(exc, "Fatal error: protocol.eof_received() call failed.")
        if not keep_open:
            self.close()
        return 0

    def _deliver_held(self):
        cdef object context = self.reader_context
        cdef bint entered = enter_context(context)
        self.delivers_soon = False
        try:
            self.deliver_held()
            self.loop.flush_queue.run()
        except BaseException:
            # A KeyboardInterrupt ends the run.  The rest is still held; if nothing
            # is left, reading resumes.
            self.deliver_held_soon()
            self.update_reading_or_end()
            raise
        finally:
            if entered:
                PyContext_Exit(context)
        self.update_reading_or_end()

    cdef int deliver_held(self) except -1:
        cdef bytes chunk
        cdef int end
        cdef bint is_end = not self.held
        while self.held and self.may_deliver():
            chunk = self.take_held()
            # As if reading; the driver does not need to know.
            self.is_reading = True
            try:
                self.deliver(PyBytes_AS_STRING(chunk), PyBytes_GET_SIZE(chunk))
            finally:
                self.is_reading = False
        if self.held_end != 0 and not self.held and self.may_deliver():
            if not is_end:
                # asyncio finds the end in the iteration after that of the last bytes.
                return self.deliver_held_soon()
            end, self.held_end = self.held_end, 0
            if not self.is_buffered or self.has_next_buffer():
                self.deliver_end(end)
        return 0

    cdef bytes take_held(self):
        """In one piece, as if it were read now: a slow protocol pauses after each."""
        cdef Py_ssize_t count = 0, size = 0
        while count < len(self.held) and size + len(self.held[count]) <= READ_BYTES:
            size += len(self.held[count])
            count += 1
        count = max(1, count)
        chunk = self.held[0] if count == 1 else b"".join(self.held[:count])
        del self.held[:count]
        return chunk

    cdef bint may_deliver(self) noexcept:
        return not self.not_reading() & (NOT_OPEN | PAUSED | STOPPED_TO_MOVE)

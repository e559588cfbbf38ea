"""A datagram socket: what the protocol is told, and in which order.

Its life is that of a connection (_stream/endpoint.pyx).  Otherwise datagrams are
different: each arrives whole or not at all; an error belongs to one of them and
does not end the endpoint; and the sender learns of it while it sends.  So data is
sent to the socket at once, and only what a full socket refuses waits.

Its *driver* (drivers.pyx) reports that the descriptor is readable, or has room
again.  Over io_uring, too, ordinary calls move the bytes: a multishot recvmsg used
as much CPU as a poll and a call that takes all waiting datagrams, and it would have
to reserve 64 KiB for each datagram that may come.

If a protocol pauses reading in the middle of a batch, the rest of the batch is held
until it resumes.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.contextvars cimport PyContext_CopyCurrent, PyContext_Exit
from cpython.object cimport PyObject
from libc.errno cimport EAGAIN, EINTR, EMSGSIZE, errno

from aioadapt._datagram.address_book cimport Entry
from aioadapt._datagram.arrivals cimport Arrivals
from aioadapt._kernel.linux cimport (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    now_ns,
    sockaddr,
)
from aioadapt._kernel.linux cimport sendto as send_to_socket
from aioadapt._loop.handle cimport enter_context, new_handle, report_failure
from aioadapt._stream.endpoint cimport Endpoint
from aioadapt._stream.life cimport CLOSING, ENDING, OPEN

import logging
import os
import sys
from collections import deque

from aioadapt.stdlib_private import (
    SILENT_LOST_WRITES,
    TransportSocket,
    hold_socket,
    report_slow_read,
)

cdef extern from "Python.h":
    object PyObject_CallMethodOneArg(object self, object name, object argument)
    object PyObject_VectorcallMethod(
        object name, PyObject *const *args, size_t nargsf, PyObject *kwnames)

cdef object logger = logging.getLogger("asyncio")

# Since Python 3.13 asyncio sends empty datagrams, and its buffer size includes what
# a datagram costs the kernel besides its bytes.
cdef bint SENDS_EMPTY = sys.version_info >= (3, 13)
cdef Py_ssize_t HEADER_BYTES = 8 if sys.version_info >= (3, 13) else 0

cdef enum:
    # asyncio's size, for families whose addresses only the socket module can handle.
    ELSEWHERE_BYTES = 262144

cdef object FULL = object()          # "the socket is full for now"


cdef class DatagramEndpoint(Endpoint):

    def __init__(self):
        raise TypeError("a DatagramEndpoint is created by a loop")

    # -- sending --------------------------------------------------------------

    cdef int sendto(self, object data, object address) except -1:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("data argument must be a bytes-like object, "
                            f"not {type(data).__name__!r}")
        if not SENDS_EMPTY and not data:
            return 0
        if self.remote is not None:
            if address is not None and address != self.remote:
                raise ValueError(f"Invalid address: must be None or {self.remote}")
            address = self.remote
        # Without a fixed address asyncio sends as long as the socket is open.
        if self.life >= ENDING and (self.remote is not None or self.fd < 0):
            if self.lost_writes >= SILENT_LOST_WRITES:
                logger.warning("socket.send() raised exception.")
            self.lost_writes += 1
            return 0
        if not self.waiting:
            result = self.send_now(data, address)
            if result is None:
                return 0
            if result is not FULL:
                # Inside the caller's own call: what it raises goes to the caller.
                self.protocol.error_received(result)
                return 0
        return self.queue(data, address)

    cdef object send_now(self, object data, object address):
        """Returns None, FULL or the OSError.  Any other exception ends the transport."""
        cdef Py_buffer view
        cdef Entry *name = NULL
        cdef Py_ssize_t sent
        cdef int error
        try:
            if not self.is_connected:
                name = self.arrivals.book.name_of(address, self.family)
                if name == NULL:
                    # A host name, a Unix path, or something that is not an address.
                    sent = self.sock.sendto(data, address)
                    self.loop.counted.sends += 1
                    self.loop.counted.bytes_out += sent
                    return None
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        except (BlockingIOError, InterruptedError):
            return FULL
        except OSError as exc:
            return exc
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.fatal(exc, "Fatal write error on datagram transport")
            return None
        if name == NULL:
            sent = send_to_socket(
                self.fd, view.buf, view.len, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0)
        else:
            sent = send_to_socket(
                self.fd, view.buf, view.len, MSG_DONTWAIT | MSG_NOSIGNAL,
                <sockaddr *> &name.name, name.size)
        error = errno
        PyBuffer_Release(&view)
        self.loop.counted.sends += 1
        if sent >= 0:
            self.loop.counted.bytes_out += sent
            return None
        if error == EAGAIN or error == EINTR:
            return FULL
        return OSError(error, os.strerror(error))

    cdef int queue(self, object data, object address) except -1:
        if self.life >= ENDING:
            return 0
        # A copy: the caller may change its buffer before it is sent.
        data = bytes(data)
        self.waiting.append((data, address))
        self.waiting_bytes += PyBytes_GET_SIZE(data) + HEADER_BYTES
        if not self.wants_room:
            self.wants_room = True
            self.writer_context = PyContext_CopyCurrent()
            try:
                self.driver.update_room()
            except BaseException:
                # The caller is told, as in asyncio: this one will not be sent.
                self.wants_room = False
                self.waiting.pop()
                self.waiting_bytes -= PyBytes_GET_SIZE(data) + HEADER_BYTES
                raise
        self.transport._maybe_pause_protocol()
        return 0

    cdef int writable(self) except -1:
        """From the driver: there is room again."""
        cdef object context = self.writer_context
        cdef bint entered = enter_context(context)
        try:
            self.send_waiting()
            return self.loop.flush_queue.run()
        finally:
            if entered:
                PyContext_Exit(context)

    cdef int send_waiting(self) except -1:
        while self.waiting:
            data, address = self.waiting.popleft()
            self.waiting_bytes -= PyBytes_GET_SIZE(data) + HEADER_BYTES
            result = self.send_now(data, address)
            if result is FULL:
                self.waiting.appendleft((data, address))
                self.waiting_bytes += PyBytes_GET_SIZE(data) + HEADER_BYTES
                break
            if self.life >= ENDING:
                return 0
            if result is not None:
                # One error per iteration: for a peer that is gone everything waiting
                # fails, and others get to run between two of the errors.
                return self.tell_of(result)
        self.transport._maybe_resume_protocol()     # which may send more
        if not self.waiting and self.life < ENDING:
            self.wants_room = False
            self.update_room_or_end()
            if self.life == CLOSING:
                self.end(None)
        return 0

    # -- arriving -------------------------------------------------------------

    cdef Py_ssize_t readable(self) except -1:
        """From the driver: datagrams have arrived."""
        cdef object context = self.reader_context
        cdef bint entered = enter_context(context)
        try:
            self.receive()
            self.loop.flush_queue.run()
            return 0
        finally:
            if entered:
                PyContext_Exit(context)

    cdef int receive(self) except -1:
        """Receive all that is waiting, up to a limit, then deliver it."""
        cdef Arrivals arrivals = self.arrivals
        cdef int i, n
        if self.family not in (AF_INET, AF_INET6, AF_UNIX):
            return self.receive_elsewhere()
        n = arrivals.receive(self.fd, self.family)
        if n == -EAGAIN or n == -EINTR:
            return 0
        if n < 0:
            return self.tell_of(OSError(-n, os.strerror(-n)))
        self.loop.counted.receives += 1
        if n == 1 and arrivals.is_whole(0):
            data = arrivals.data_at(0)
            self.loop.counted.bytes_in += PyBytes_GET_SIZE(data)
            return self.deliver(data, arrivals.address_at(0))
        arrived = []
        for i in range(n):
            data = arrivals.data_at(i)
            self.loop.counted.bytes_in += PyBytes_GET_SIZE(data)
            arrived.append(data if arrivals.is_whole(i) else None)
            arrived.append(arrivals.address_at(i))
        return self.deliver_all(arrived)

    cdef int receive_elsewhere(self) except -1:
        """For netlink, packet and VM sockets: receive as asyncio does."""
        try:
            data, address = self.sock.recvfrom(ELSEWHERE_BYTES)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as exc:
            return self.tell_of(exc)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            return self.fatal(exc, "Fatal read error on datagram transport")
        self.loop.counted.receives += 1
        self.loop.counted.bytes_in += len(data)
        return self.deliver(data, address)

    cdef int deliver_all(self, list arrived) except -1:
        """Deliver datagrams, each followed by its address; hold what is not taken."""
        cdef Py_ssize_t i = 0
        try:
            while i < len(arrived) and self.is_reading:
                i += 2
                if arrived[i - 2] is None:
                    self.tell_of(OSError(
                        EMSGSIZE, "not enough memory for a datagram of this size"))
                else:
                    self.deliver(arrived[i - 2], arrived[i - 1])
        finally:
            if i < len(arrived):
                self.hold(arrived, i)
        return 0

    cdef int hold(self, list arrived, Py_ssize_t first) except -1:
        """Keep the rest; the socket is not read again until it has been delivered."""
        # A closing endpoint does not read any more, so the rest is dropped.
        if self.life == OPEN:
            self.held = arrived[first:]
            if self.is_reading:      # an exception has interrupted delivery
                self.deliver_held_soon()
            self.update_reading_or_end()
        return 0

    def _deliver_held(self):
        cdef list arrived
        self.delivers_soon = False
        if self.held and self.life == OPEN and not self.is_paused:
            arrived, self.held = self.held, None
            self.is_reading = True   # while delivering; the driver is told below
            try:
                self.deliver_all(arrived)
            finally:
                if self.is_reading:
                    self.is_reading = False
                    self.update_reading_or_end()

    cdef int deliver(self, object data, object address) except -1:
        cdef PyObject *args[3]
        cdef long long started = now_ns() if self.loop._debug else 0
        cdef object protocol = self.protocol
        args[0] = <PyObject *> protocol
        args[1] = <PyObject *> data
        args[2] = <PyObject *> address
        try:
            PyObject_VectorcallMethod("datagram_received", args, 3, NULL)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.callback_failed("datagram_received", (data, address), exc)
        if started:
            report_slow_read(self.loop, self.transport, (now_ns() - started) * 1e-9)
        return 0

    cdef int poll_failed(self, int error) except -1:
        return self.tell_of(OSError(error, os.strerror(error)))

    cdef int tell_of(self, object failure) except -1:
        """Call error_received; the endpoint stays open."""
        try:
            PyObject_CallMethodOneArg(self.protocol, "error_received", failure)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.callback_failed("error_received", (failure,), exc)
        return 0

    def callback_failed(self, name, args, exc):
        """As in asyncio: the failure is reported, and the endpoint stays open."""
        method = getattr(self.protocol, name, self.protocol)
        report_failure(new_handle(self.loop, method, args, None), method, args, exc)

    # -- ending ---------------------------------------------------------------

    cdef int close(self) except -1:
        if self.life >= CLOSING:
            return 0
        self.life = CLOSING
        self.update_reading_or_end()
        if not self.waiting and self.life == CLOSING:
            self.end(None)
        return 0

    cdef int end(self, object exc) except -1:
        self.waiting.clear()
        self.waiting_bytes = 0
        return Endpoint.end(self, exc)

    cdef int unregister(self) except -1:
        if self.loop.datagrams_by_fd.get(self.fd) is self:
            del self.loop.datagrams_by_fd[self.fd]
        return Endpoint.unregister(self)

    def finish_orphaning(self):
        if self.loop.datagrams_by_fd.get(self.fd) is self:
            del self.loop.datagrams_by_fd[self.fd]
        Endpoint.finish_orphaning(self)


cdef DatagramEndpoint new_datagram_endpoint(
    object loop, object sock, object protocol, object remote, dict extra,
):
    cdef DatagramEndpoint endpoint
    # A protocol without this method is refused here, as in asyncio.
    protocol.connection_made
    endpoint = DatagramEndpoint.__new__(DatagramEndpoint, loop, loop._new_datagram_driver())
    endpoint.fd = sock.fileno()
    endpoint.family, endpoint.type, endpoint.proto = sock.family, sock.type, sock.proto
    endpoint.sock = sock
    endpoint.waiting = deque()
    endpoint.remote = remote or None
    if loop._arrivals is None:
        loop._arrivals = Arrivals()
    endpoint.arrivals = loop._arrivals
    endpoint.extra = extra
    extra["socket"] = TransportSocket(sock)
    for name, ask in (("sockname", sock.getsockname), ("peername", sock.getpeername)):
        if name == "sockname" or name not in extra:
            try:
                extra[name] = ask()
            except OSError:
                extra[name] = None
    # asyncio tests the name for truth.  So it takes one end of an unnamed Unix
    # pair for a socket that is not connected, and cannot send on it.
    endpoint.is_connected = extra["peername"] is not None
    endpoint.kept_open = hold_socket(sock)
    endpoint.set_protocol(protocol)
    endpoint.driver.serve(endpoint)
    loop.datagrams_by_fd[endpoint.fd] = endpoint
    return endpoint

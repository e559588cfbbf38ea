"""What a protocol sees of its connection: an asyncio.Transport.

A C class cannot inherit from asyncio.Transport (each has its own instance layout),
and a drop-in transport has to be an instance of it.  So the transport is a Python
class with one slot, which holds the Stream that does the work.  Its methods read
the slot at its offset in the object, so a call costs as much as one of a C method.
"""

from cpython.bytes cimport PyBytes_CheckExact
from cpython.object cimport PyObject

from aioadapt._kernel.addresses cimport own_address, peer_address
from aioadapt._kernel.linux cimport AF_INET, AF_INET6
from aioadapt._stream.life cimport CLOSING, ENDED, GIVEN_AWAY, OPEN, ORPHANED
from aioadapt._stream.slots cimport in_slot, slot_offset
from aioadapt._stream.stream cimport Stream, new_stream

import socket
import warnings

from aioadapt.stdlib_private import (
    SENDFILE_MODE,
    WRITELINES_JOINS,
    WRITELINES_PASSES_OVER_EMPTY,
    FlowControlMixin,
    hold_socket,
)


class StreamTransport(FlowControlMixin):
    """A connected TCP or Unix socket; see asyncio's "Transports" for every method."""

    __slots__ = ("_stream", "__dict__", "__weakref__")

    _start_tls_compatible = True
    _sendfile_compatible = SENDFILE_MODE

    def __init__(self, stream):
        self._stream = stream

    def __repr__(self):
        cdef Stream stream = stream_of(self)
        words = [type(self).__name__]
        if stream.life >= ENDED:
            words.append("moved" if stream.life == GIVEN_AWAY else "closed")
        elif stream.life >= CLOSING and stream.life != ORPHANED:
            words.append("closing")
        words.append(f"fd={stream.fd}")
        if stream.life <= CLOSING:
            words.append("read=polling" if stream.is_reading else "read=idle")
            state = "polling" if stream.out.size else "idle"
            words.append(f"write=<{state}, bufsize={stream.out.size}>")
        return f"<{' '.join(words)}>"

    def __del__(self, _warn=warnings.warn):
        # Only a loop that is closed drops a stream that is still open.
        cdef Stream stream
        try:
            stream = stream_of(self)
        except TypeError:
            return
        if stream.life >= ENDED:
            return
        words = repr(self)
        if stream.transport_freed():
            _warn(f"unclosed transport {words}", ResourceWarning, source=self)

    def write(self, data):
        stream_of(self).write(data)

    def writelines(self, list_of_data):
        cdef Stream stream = stream_of(self)
        if not WRITELINES_JOINS:
            if stream.eof_asked:
                raise RuntimeError("Cannot call writelines() after write_eof()")
            if stream.empty_waiter is not None:
                raise RuntimeError("unable to writelines; sendfile is in progress")
            if not list_of_data:
                return
        if not are_bytes(list_of_data):
            # Refuse what cannot be written before writing any of it.
            if WRITELINES_JOINS:
                list_of_data = (b"".join(list_of_data),)
            else:
                list_of_data = [memoryview(data) for data in list_of_data
                                if data or not WRITELINES_PASSES_OVER_EMPTY]
        for data in list_of_data:
            stream.write(data)

    def write_eof(self):
        stream_of(self).write_eof()

    def can_write_eof(self):
        return True

    def close(self):
        stream_of(self).close()

    def abort(self):
        self._force_close(None)

    def _force_close(self, exc):
        cdef Stream stream = stream_of(self)
        # As in asyncio, only what the socket has no room for is lost: a response, or a
        # TLS alert, is sent first.
        stream.send_gathered()
        stream.abort(exc)

    def _fatal_error(self, exc, message="Fatal error on transport"):
        stream_of(self).fatal(exc, message)

    def is_closing(self):
        cdef Stream stream = stream_of(self)
        stream.send_gathered()           # which may find that the peer is gone
        return stream.life >= CLOSING

    def pause_reading(self):
        stream_of(self).pause_reading()

    def resume_reading(self):
        stream_of(self).resume_reading()

    def is_reading(self):
        cdef Stream stream = stream_of(self)
        return stream.life <= OPEN and not stream.is_paused

    def set_protocol(self, protocol):
        stream_of(self).set_protocol(protocol)

    def get_protocol(self):
        return stream_of(self).protocol

    def get_extra_info(self, name, default=None):
        return stream_of(self).get_extra(name, default)

    def get_write_buffer_size(self):
        cdef Stream stream = stream_of(self)
        stream.send_gathered()
        return stream.out.size

    def get_write_buffer_limits(self):
        cdef Stream stream = stream_of(self)
        if stream.odd_limits is not None:
            return stream.odd_limits
        return stream.low_bytes, stream.high_bytes

    def set_write_buffer_limits(self, high=None, low=None):
        stream_of(self).set_limits(high, low)

    @property
    def _protocol_paused(self):
        return stream_of(self).protocol_paused

    # Private names of asyncio's transports that other programs and tests read.
    @property
    def _paused(self):
        return bool(stream_of(self).is_paused)

    @property
    def _closing(self):
        return self.is_closing()

    # loop.sendfile's fallback without sendfile(2) uses it to wait for room.
    @property
    def _loop(self):
        return stream_of(self).loop

    # loop.sendfile uses these to wait until nothing is left to send.
    def _make_empty_waiter(self):
        cdef Stream stream = stream_of(self)
        if stream.empty_waiter is not None:
            raise RuntimeError("Empty waiter is already set")
        stream.empty_waiter = stream.loop.create_future()
        if stream.out.size == 0:
            stream.empty_waiter.set_result(None)
        return stream.empty_waiter

    def _reset_empty_waiter(self):
        stream_of(self).empty_waiter = None


def connect_stream(loop, sock, protocol, waiter, extra, server, context=None):
    """A transport for a connected socket, which it owns from now on."""
    cdef Stream stream
    loop._check_closed()
    if sock.type == socket.SOCK_STREAM and sock.family in (AF_INET, AF_INET6):
        # Not sock.proto, as asyncio does: it is 0 for many TCP sockets.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = new_stream(
        loop, sock.fileno(), sock.family, sock.type, sock.proto, protocol, server)
    if context is not None:
        stream.reader_context = context
    stream.sock = sock
    stream.kept_open = hold_socket(sock)
    stream.sockname_known = own_address(stream.fd)
    if extra:
        stream.extra = dict(extra)
        stream.peername_known = extra.get("peername")
    if stream.peername_known is None:
        stream.peername_known = peer_address(stream.fd)
    stream.loop.schedule(stream.open, (waiter,), None)
    return stream.transport


cdef bint are_bytes(object items) except -1:
    """Is it a non-empty list or tuple of bytes objects only?"""
    if not isinstance(items, (list, tuple)) or not items:
        return False
    for item in items:
        if not PyBytes_CheckExact(item):
            return False
    return True


cdef Py_ssize_t STREAM_OFFSET = slot_offset(StreamTransport._stream)
cdef object transport_type = StreamTransport


cdef inline Stream stream_of(object transport):
    cdef PyObject *stream
    if type(transport) is not transport_type and not isinstance(transport, transport_type):
        raise TypeError(f"expected a StreamTransport, got {transport!r}")
    stream = in_slot(transport, STREAM_OFFSET)
    if stream == NULL or not isinstance(<object> stream, Stream):
        # A program can put anything there.
        raise TypeError("this StreamTransport has no connection: loops create transports")
    return <Stream> stream

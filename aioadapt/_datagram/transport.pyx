"""What a protocol sees of its endpoint: an asyncio.DatagramTransport.

A Python class with one slot, which holds the DatagramEndpoint that does the
work; see _stream/transport.pyx for the reason.  Like asyncio's own, it is also
an asyncio.Transport, and its flow control is asyncio's.
"""

from cpython.object cimport PyObject

from aioadapt._datagram.endpoint cimport DatagramEndpoint, new_datagram_endpoint
from aioadapt._stream.life cimport CLOSING, ENDED, OPEN, ORPHANED
from aioadapt._stream.slots cimport in_slot, slot_offset

import warnings
from asyncio import DatagramTransport

from aioadapt.stdlib_private import FlowControlMixin


class NativeDatagramTransport(FlowControlMixin, DatagramTransport):
    """A UDP or Unix datagram socket; see asyncio's "Transports" for every method."""

    __slots__ = ("_endpoint", "__dict__", "__weakref__")

    def __init__(self, endpoint, loop):
        self._endpoint = endpoint
        super().__init__(None, loop)

    def __repr__(self):
        cdef DatagramEndpoint endpoint = endpoint_of(self)
        words = [type(self).__name__]
        if endpoint.life >= ENDED:
            words.append("closed")
        elif endpoint.life >= CLOSING and endpoint.life != ORPHANED:
            words.append("closing")
        words.append(f"fd={endpoint.fd}")
        if endpoint.life <= CLOSING:
            words.append("read=polling" if endpoint.is_reading else "read=idle")
            state = "polling" if endpoint.wants_room else "idle"
            words.append(f"write=<{state}, bufsize={endpoint.waiting_bytes}>")
        return f"<{' '.join(words)}>"

    def __del__(self, _warn=warnings.warn):
        # Only a closed loop drops an endpoint that is still open.
        cdef DatagramEndpoint endpoint
        try:
            endpoint = endpoint_of(self)
        except TypeError:
            return
        words = repr(self)
        if endpoint.transport_freed():
            _warn(f"unclosed transport {words}", ResourceWarning, source=self)

    def sendto(self, data, addr=None):
        endpoint_of(self).sendto(data, addr)

    def close(self):
        endpoint_of(self).close()

    def abort(self):
        endpoint_of(self).abort(None)

    def _force_close(self, exc):
        endpoint_of(self).abort(exc)

    def _fatal_error(self, exc, message="Fatal error on transport"):
        endpoint_of(self).fatal(exc, message)

    def is_closing(self):
        return endpoint_of(self).life >= CLOSING

    def pause_reading(self):
        endpoint_of(self).pause_reading()

    def resume_reading(self):
        endpoint_of(self).resume_reading()

    def is_reading(self):
        cdef DatagramEndpoint endpoint = endpoint_of(self)
        return endpoint.life <= OPEN and not endpoint.is_paused

    def set_protocol(self, protocol):
        endpoint_of(self).set_protocol(protocol)

    def get_protocol(self):
        return endpoint_of(self).protocol

    def get_extra_info(self, name, default=None):
        return endpoint_of(self).get_extra(name, default)

    def get_write_buffer_size(self):
        return endpoint_of(self).waiting_bytes

    @property
    def _sock(self):
        """asyncio's name, for code that uses it; None once closed, as in asyncio."""
        cdef DatagramEndpoint endpoint = endpoint_of(self)
        return endpoint.sock

    # Used by asyncio's flow control.
    @property
    def _protocol(self):
        return endpoint_of(self).protocol


def connect_datagrams(loop, sock, protocol, remote, waiter, extra):
    """Make a transport for a datagram socket; it owns the socket from now on."""
    loop._check_closed()
    cdef DatagramEndpoint endpoint = new_datagram_endpoint(
        loop, sock, protocol, remote, dict(extra or ()))
    endpoint.transport = NativeDatagramTransport(endpoint, loop)
    # asyncio looks here for its own transports when a descriptor is to be watched.
    loop._transports[endpoint.fd] = endpoint.transport
    endpoint.loop.schedule(endpoint.open, (waiter,), None)
    return endpoint.transport


cdef Py_ssize_t ENDPOINT_OFFSET = slot_offset(NativeDatagramTransport._endpoint)
cdef object transport_type = NativeDatagramTransport


cdef inline DatagramEndpoint endpoint_of(object transport):
    cdef PyObject *endpoint
    if type(transport) is not transport_type and not isinstance(transport, transport_type):
        raise TypeError(f"expected a NativeDatagramTransport, got {transport!r}")
    endpoint = in_slot(transport, ENDPOINT_OFFSET)
    if endpoint == NULL or not isinstance(<object> endpoint, DatagramEndpoint):
        raise TypeError("this transport has no endpoint: loops create transports")
    return <DatagramEndpoint> endpoint

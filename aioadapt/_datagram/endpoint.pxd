from aioadapt._datagram.arrivals cimport Arrivals
from aioadapt._stream.endpoint cimport Endpoint


cdef class DatagramEndpoint(Endpoint):
    cdef:
        Arrivals arrivals            # the loop's; shared by its endpoints
        object remote                # the only address to send to, or None
        bint is_connected            # the kernel knows where to send
        object waiting               # a deque of (bytes, address); the socket was full
        Py_ssize_t waiting_bytes

    cdef int sendto(self, object data, object address) except -1
    cdef object send_now(self, object data, object address)
    cdef int queue(self, object data, object address) except -1
    cdef int receive(self) except -1
    cdef int receive_elsewhere(self) except -1
    cdef int deliver_all(self, list arrived) except -1
    cdef int deliver(self, object data, object address) except -1
    cdef int hold(self, list arrived, Py_ssize_t first) except -1
    cdef int tell_of(self, object exc) except -1
    cdef int send_waiting(self) except -1


cdef DatagramEndpoint new_datagram_endpoint(
    object loop, object sock, object protocol, object remote, dict extra)

"""What a loop holds inside that it should not hold: for a look after every test.

From outside only descriptors, threads and transports can be seen.  A receive
buffer that is never given back, a watch of a stream that has ended, EPOLLOUT
left on where nothing is to be sent: each of these passes every test of one
connection, and ends a loop that lives for weeks.

``found_inside`` is to be called between two iterations, on the loop's thread,
while the loop is open.  What an exception has left of an iteration (reports and
completions that have still to be dispatched) explains the rest, so then there is
nothing to find.
"""

from cpython.object cimport PyObject

from aioadapt._engine.driver cimport Driven
from aioadapt._engine.epoll.driver cimport DrivenWatch
from aioadapt._engine.uring.core cimport UringCore
from aioadapt._engine.uring.datagram_driver cimport DatagramPoll
from aioadapt._engine.uring.stream_driver cimport RecvOp, RoomOp
from aioadapt._kernel.linux cimport EPOLLOUT
from aioadapt._kernel.op cimport OP_IN_KERNEL, Op
from aioadapt._kernel.poller cimport Poller, Watch
from aioadapt._kernel.ring cimport Ring
from aioadapt._loop.fd_callbacks cimport FdCallbacks, FdCore
from aioadapt._stream.endpoint cimport Endpoint
from aioadapt._stream.life cimport ENDING
from aioadapt._stream.listener cimport AcceptWatch
from aioadapt._stream.stream cimport Stream


def found_inside(FdCore loop not None):
    """Each thing in words; an empty list is what is hoped for."""
    cdef list found = []
    cdef Ring ring = None
    if isinstance(loop, UringCore):
        ring = (<UringCore> loop).ring
        if ring is None:
            return found         # it has never run
    if loop.has_reaped():
        return found
    if ring is not None and ring.is_open:
        if ring.buffers.taken:
            found.append(f"{ring.buffers.taken} receive buffers are lent out")
        add_stray_operations(found, ring)
    if loop.poller.epoll_fd >= 0:
        add_stray_watches(found, loop, loop.poller)
        if loop.poller.secondary is not None:
            add_stray_watches(found, loop, loop.poller.secondary)
    return found


def epoll_waits(FdCore loop not None):
    """How often the loop has asked its epoll, also one that waits on a ring."""
    return loop.poller.waits


cdef int add_stray_operations(list found, Ring ring) except -1:
    """Operations in the kernel that nobody waits for and nobody has cancelled."""
    cdef PyObject *newest = ring.newest
    cdef Op op
    cdef object owner
    while newest != NULL:
        op = <Op> newest
        newest = op.older
        if isinstance(op, RecvOp):
            owner = (<RecvOp> op).driver.stream
        elif isinstance(op, RoomOp):
            owner = (<RoomOp> op).driver.stream
        elif isinstance(op, DatagramPoll):
            owner = (<DatagramPoll> op).driver.endpoint
        else:
            continue
        if owner is None and op.state == OP_IN_KERNEL:
            found.append(f"{op!r} is nobody's")
    return 0


cdef int add_stray_watches(list found, FdCore loop, Poller poller) except -1:
    cdef Watch watch
    cdef str why
    for watch in poller.watches:
        why = None if watch is None else why_stray(loop, watch)
        if why is not None:
            found.append(f"{type(watch).__name__} of descriptor {watch.fd}: {why}")
    if poller.late:
        found.append(f"{poller.late} watches, which were closed before they were unregistered")
    return 0


cdef str why_stray(FdCore loop, Watch watch):
    """None where it is as it should be."""
    cdef FdCallbacks callbacks
    cdef bint waits_for_room = watch.interest & EPOLLOUT
    if isinstance(watch, DrivenWatch):
        return why_stray_driven((<DrivenWatch> watch).driver.driven, waits_for_room)
    elif isinstance(watch, AcceptWatch):
        if not (<AcceptWatch> watch).listener.is_accepting:
            return "its listener does not accept"
    elif isinstance(watch, FdCallbacks):
        callbacks = <FdCallbacks> watch
        if loop.fd_callbacks.get(callbacks.fd) is not callbacks:
            return "nobody reads or writes there any more"
        if waits_for_room and callbacks.writer is None:
            return "EPOLLOUT without a writer"
    return None


cdef str why_stray_driven(Driven driven, bint waits_for_room):
    if driven is None or (<Endpoint> driven).life >= ENDING:
        return "what it served has ended"
    if waits_for_room and not driven.wants_room:
        return "EPOLLOUT with nothing to send"
    return None


def is_releasing(Stream stream not None):
    """Whether its driver is detaching, for a release."""
    return bool(stream.is_detaching())

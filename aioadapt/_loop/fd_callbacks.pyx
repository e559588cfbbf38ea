"""add_reader, add_writer and their removal: one entry per descriptor.

asyncio's pipes, signals, child processes and ``sock_*`` methods wait through
these.  Every loop has an epoll instance for them, and io_uring polls that.  A
ring poll of the descriptor itself would keep its file open after its owner has
closed it: the peer would see no end of file, and the port would stay in use.
It also means that epoll decides what can be watched, and with which error the rest
is refused, as in asyncio.

A ``sock_*`` method registers an *attempt* instead of a callback: a call that
would have blocked.  It is repeated as soon as the descriptor is ready, and when
it succeeds the waiting task runs in the same iteration.
"""

from libc.stdint cimport uint32_t

from aioadapt._kernel.linux cimport EPOLLIN, EPOLLOUT
from aioadapt._kernel.poller cimport Poller, Watch
from aioadapt._loop.handle cimport Handle, new_handle, report_failure
from aioadapt._loop.scheduling cimport SchedulingCore

import sys
import warnings
from asyncio import events

# The select.epoll object warns, and asyncio calls it.
cdef bint WARNS_OF_BOOLS = sys.version_info >= (3, 13)


# What is added between two iterations is watched from the next one on.
cdef unsigned long long NO_ITERATION = <unsigned long long> -1


cdef class FdCallbacks(Watch):
    """What ``add_reader`` and ``add_writer`` registered for one descriptor."""

    cdef int ready(self, uint32_t reported) except -1:
        # As in asyncio's selector: a hang-up or an error wakes both.  What was added
        # since the report waits for the next one.
        if reported & ~EPOLLOUT and self.reader_since != self.loop.iteration:
            self.run(self.reader)
        # The reader may have removed the writer.
        if reported & ~EPOLLIN and self.writer_since != self.loop.iteration:
            self.run(self.writer)
        return 0

    cdef int run(self, object handle) except -1:
        if type(handle) is Attempt:
            return (<Attempt> handle).try_again()
        if handle is not None:
            self.loop.run_handle(handle)
        return 0


cdef class Attempt(Handle):
    """A call that would have blocked, and the future for its result."""

    cdef int try_again(self) except -1:
        if self.is_cancelled or self.future.done():
            return 0
        try:
            result = self.callback(*self.args)
        except (BlockingIOError, InterruptedError):
            return 0
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.future.set_exception(exc)
        else:
            self.future.set_result(result)
        try:
            self.end()
        except OSError as exc:
            report_failure(self, self.end, (), exc)
        return 0

    def end(self):
        """Stop watching; harmless if something else watches the descriptor by now."""
        if not self.is_cancelled:
            if self.is_for_room:
                self.loop._remove_writer(self.fd)
            else:
                self.loop._remove_reader(self.fd)


cdef class FdCore(SchedulingCore):
    """See the top of this file."""

    def __cinit__(self, *args, **kwargs):
        self.poller = Poller()
        self.fd_callbacks = {}

    cdef int interest_changed(self, FdCallbacks callbacks) except -1:
        """A reader or writer was added, removed or replaced."""
        cdef uint32_t interest = 0
        self.check_not_forked()
        if callbacks.reader is not None:
            interest |= EPOLLIN
        if callbacks.writer is not None:
            interest |= EPOLLOUT
        try:
            return self.poller.watch(callbacks, interest)
        except OSError:
            # As in asyncio nothing is watched under this number any more: it may be
            # another file's by now, which can be added next time.
            callbacks.reader = callbacks.writer = None
            if self.fd_callbacks.get(callbacks.fd) is callbacks:
                del self.fd_callbacks[callbacks.fd]
            self.poller.unregister(callbacks)
            raise

    cdef FdCallbacks callbacks_for(self, object fileobj):
        cdef FdCallbacks callbacks
        fd = descriptor_of(fileobj)
        callbacks = self.fd_callbacks.get(fd)
        if callbacks is None:
            if WARNS_OF_BOOLS and isinstance(fd, bool):
                warnings.warn(
                    "bool is used as a file descriptor", RuntimeWarning, stacklevel=2)
            callbacks = FdCallbacks.__new__(FdCallbacks)
            try:
                callbacks.fd = fd
            except OverflowError:
                # The message of the select.epoll object, which asyncio calls.
                raise OverflowError(
                    "Python int too large to convert to C int") from None
            callbacks.loop = self
            callbacks.fileobj = fileobj
        return callbacks

    def _attempt(self, sock, bint is_for_room, callback, *args):
        """Repeat a call that would block until it does not; ``end`` it in any case."""
        cdef Attempt attempt
        cdef int fd = sock.fileno()
        self.check_open()
        self._ensure_fd_no_transport(fd)
        attempt = Attempt.__new__(Attempt)
        attempt.loop = self
        attempt.callback, attempt.args = callback, args
        attempt.fd = fd
        attempt.is_for_room = is_for_room
        attempt.future = self.create_future()
        if is_for_room:
            self.set_writer(self.callbacks_for(fd), attempt)
        else:
            self.set_reader(self.callbacks_for(fd), attempt)
        return attempt

    cdef FdCallbacks registered(self, object fileobj):
        """The entry of *fileobj*; None if there is none.

        An object that was closed while being watched no longer has a descriptor;
        it is found by identity.
        """
        cdef FdCallbacks callbacks
        try:
            fd = descriptor_of(fileobj)
        except ValueError:
            for callbacks in self.fd_callbacks.values():
                if callbacks.fileobj is fileobj:
                    return callbacks
            raise
        return self.fd_callbacks.get(fd)

    def _add_reader(self, fd, callback, *args, context=None):
        cdef FdCallbacks callbacks
        self.check_open()
        callbacks = self.callbacks_for(fd)
        handle = self._new_fd_handle(callback, args, context)
        self.set_reader(callbacks, handle)
        return handle

    cdef int set_reader(self, FdCallbacks callbacks, object handle) except -1:
        before, callbacks.reader = callbacks.reader, handle
        callbacks.reader_since = self.iteration if self.is_gathering else NO_ITERATION
        self.interest_changed(callbacks)
        self.fd_callbacks[callbacks.fd] = callbacks
        if before is not None:
            before.cancel()
        return 0

    def _add_writer(self, fd, callback, *args, context=None):
        cdef FdCallbacks callbacks
        self.check_open()
        callbacks = self.callbacks_for(fd)
        handle = self._new_fd_handle(callback, args, context)
        self.set_writer(callbacks, handle)
        return handle

    cdef int set_writer(self, FdCallbacks callbacks, object handle) except -1:
        before, callbacks.writer = callbacks.writer, handle
        callbacks.writer_since = self.iteration if self.is_gathering else NO_ITERATION
        self.interest_changed(callbacks)
        self.fd_callbacks[callbacks.fd] = callbacks
        if before is not None:
            before.cancel()
        return 0

    def _remove_reader(self, fd):
        cdef FdCallbacks callbacks
        if self._closed:
            return False
        callbacks = self.registered(fd)
        if callbacks is None or callbacks.reader is None:
            return False
        handle, callbacks.reader = callbacks.reader, None
        self._interest_lost(callbacks)
        handle.cancel()
        return True

    def _remove_writer(self, fd):
        cdef FdCallbacks callbacks
        if self._closed:
            return False
        callbacks = self.registered(fd)
        if callbacks is None or callbacks.writer is None:
            return False
        handle, callbacks.writer = callbacks.writer, None
        self._interest_lost(callbacks)
        handle.cancel()
        return True

    def _interest_lost(self, FdCallbacks callbacks):
        if callbacks.reader is None and callbacks.writer is None:
            del self.fd_callbacks[callbacks.fd]
        self.interest_changed(callbacks)

    def _new_fd_handle(self, callback, args, context):
        if self._debug:
            return events.Handle(callback, args, self, context)
        return new_handle(self, callback, args, context)

    def _ensure_fd_no_transport(self, fd):
        fileno = fd
        if not isinstance(fileno, int):
            try:
                fileno = int(fileno.fileno())
            except (AttributeError, TypeError, ValueError):
                raise ValueError(f"Invalid file object: {fd!r}") from None
        stream = self.streams_by_fd.get(fileno)
        transport = None if stream is None else stream.transport
        if transport is None:
            # Datagram transports are registered in asyncio's own dict.
            transport = self._transports.get(fileno)
        if transport is not None and not transport.is_closing():
            raise RuntimeError(
                f"File descriptor {fd!r} is used by transport {transport!r}")

    def _drop_everything(self):
        """Drop readers, writers, ready callbacks and timers; the loop is closing."""
        cdef FdCallbacks callbacks
        for callbacks in list(self.fd_callbacks.values()):
            callbacks.reader = callbacks.writer = None
            self._interest_lost(callbacks)
        SchedulingCore._drop_everything(self)


cdef object descriptor_of(object fileobj):
    """asyncio's rule for what can be watched, with its errors."""
    if isinstance(fileobj, int):
        fd = fileobj
    else:
        try:
            fd = int(fileobj.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fileobj!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd

"""Handles: callbacks that are scheduled to run.

They have the interface of asyncio's handles but cost less: no Python frame, and
a free list.  In debug mode the loop uses asyncio's own handles, so that what
debug mode reports is exactly what asyncio reports.

``isinstance`` takes them for asyncio.Handle and asyncio.TimerHandle, which a C
class cannot inherit from.
"""

cimport cython
from cpython.contextvars cimport (
    PyContext_CheckExact,
    PyContext_CopyCurrent,
    PyContext_Enter,
    PyContext_Exit,
)
from cpython.object cimport PyObject

from asyncio import events

from aioadapt.stdlib_private import describe_callback

cdef extern from "Python.h":
    object PyObject_CallNoArgs(object callable)
    object PyObject_CallOneArg(object callable, object argument)
    object PyObject_Vectorcall(
        object callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
    PyObject **PySequence_Fast_ITEMS(object sequence)


@cython.freelist(512)
cdef class Handle:
    """What ``call_soon`` returns."""

    @property
    def __class__(self):
        return events.Handle

    cdef int run(self) except -1:
        """Call it in its context.  Only SystemExit and KeyboardInterrupt propagate."""
        cdef object callback = self.callback
        cdef tuple args = self.args
        cdef object context = self.context
        cdef Py_ssize_t n = len(args)
        cdef bint entered = False
        try:
            PyContext_Enter(context)
            entered = True
            if n == 0:
                PyObject_CallNoArgs(callback)
            elif n == 1:
                PyObject_CallOneArg(callback, args[0])
            else:
                PyObject_Vectorcall(callback, PySequence_Fast_ITEMS(args), n, NULL)
        except BaseException as exc:
            # Exit first: the exception handler may run in this same context.
            if entered:
                PyContext_Exit(context)
            elif not PyContext_CheckExact(context):
                return self.run_in_no_context()
            if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                raise
            report_failure(self, callback, args, exc)
        else:
            PyContext_Exit(context)
        return 0

    cdef int run_in_no_context(self) except -1:
        """The context is not a Context: as in asyncio, it only needs a ``run`` method."""
        cdef object callback = self.callback
        cdef tuple args = self.args
        try:
            self.context.run(callback, *args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            report_failure(self, callback, args, exc)
        return 0

    cdef void clear(self) noexcept:
        self.callback = None
        self.args = None

    def cancel(self):
        """Do not run it.  Does nothing if it has run or is cancelled."""
        self.is_cancelled = True
        self.clear()

    def cancelled(self):
        return self.is_cancelled

    def get_context(self):
        return self.context

    def _run(self):
        if not self.is_cancelled:
            self.run()

    # asyncio's names, which debuggers and test tools read.
    @property
    def _callback(self):
        return self.callback

    @property
    def _args(self):
        return self.args

    @property
    def _cancelled(self):
        return self.is_cancelled

    @property
    def _context(self):
        return self.context

    @property
    def _loop(self):
        return self.loop

    @property
    def _source_traceback(self):
        return None

    cdef list words(self):
        cdef list words = [type(self).__name__]
        if self.is_cancelled:
            words.append("cancelled")
        if self.callback is not None:
            words.append(describe_callback(self.callback, self.args))
        return words

    def __repr__(self):
        return f"<{' '.join(self.words())}>"


cdef class TimerHandle(Handle):
    """What ``call_later`` and ``call_at`` return."""

    @property
    def __class__(self):
        return events.TimerHandle

    def cancel(self):
        """Do not run it; it leaves the timer heap immediately."""
        if not self.is_cancelled:
            self.is_cancelled = True
            self.clear()
            if self.place >= 0:
                self.loop._timer_handle_cancelled(self)

    # As asyncio's timers, ordered by when they are due.
    def __hash__(self):
        return hash(self.due_s)

    def __eq__(self, other):
        if not isinstance(other, TimerHandle):
            return NotImplemented
        return self is other or (
            self.due_s == other._when and self.callback == other._callback
            and self.args == other._args and self.is_cancelled == other._cancelled)

    def __lt__(self, other):
        return self.due_s < other.when() if isinstance(other, TimerHandle) else NotImplemented

    def __le__(self, other):
        return self.due_s <= other.when() if isinstance(other, TimerHandle) else NotImplemented

    def __gt__(self, other):
        return self.due_s > other.when() if isinstance(other, TimerHandle) else NotImplemented

    def __ge__(self, other):
        return self.due_s >= other.when() if isinstance(other, TimerHandle) else NotImplemented

    def when(self):
        """The ``loop.time()`` in seconds at which it is due."""
        return self.due_s if self.given is None else self.given

    @property
    def _when(self):
        return self.when()

    @property
    def _scheduled(self):
        return self.place >= 0

    cdef list words(self):
        cdef list words = Handle.words(self)
        words.insert(2 if self.is_cancelled else 1, f"when={self.when()}")
        return words


cdef Handle new_handle(object loop, object callback, tuple args, object context):
    cdef Handle handle = Handle.__new__(Handle)
    handle.loop = loop
    handle.callback = callback
    handle.args = args
    handle.context = PyContext_CopyCurrent() if context is None else context
    return handle


cdef int report_failure(
    Handle handle, object callback, tuple args, object exc,
) except -1:
    """A callback raised: tell the loop's exception handler, as asyncio does."""
    handle.loop.call_exception_handler({
        "message": "Exception in callback "
                   + describe_callback(callback, args),
        "exception": exc,
        "handle": handle,
    })
    return 0

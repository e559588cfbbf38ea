from cpython.contextvars cimport PyContext_CheckExact


cdef class Handle:
    cdef:
        object callback          # None once run or cancelled
        tuple args
        object context
        object loop              # whose exception handler is called
        bint is_cancelled
        object __weakref__

    cdef int run(self) except -1
    cdef int run_in_no_context(self) except -1
    cdef void clear(self) noexcept
    cdef list words(self)


cdef class TimerHandle(Handle):
    cdef:
        double due_s             # loop.time() at which it is due
        object given             # the object passed to call_at, if it was not a float
        Py_ssize_t place         # its index in the heap; -1: not there


cdef Handle new_handle(object loop, object callback, tuple args, object context)
cdef int report_failure(
    Handle handle, object callback, tuple args, object exc) except -1


cdef extern from "Python.h":
    int enter "PyContext_Enter"(object context) noexcept
    void PyErr_Clear()


cdef inline bint enter_context(object context) noexcept:
    """False if it cannot be entered, as when a loop that runs within it is running this."""
    if not PyContext_CheckExact(context):
        return False
    if enter(context) < 0:
        PyErr_Clear()
        return False
    return True

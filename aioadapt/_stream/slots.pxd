"""The offset of a Python class's slot in its instances, so that C can read it."""

from cpython.object cimport PyObject

cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030C0000
    #include <structmember.h>
    #endif
    static inline Py_ssize_t aioadapt_slot_offset(PyObject *descriptor) {
        return ((PyMemberDescrObject *)descriptor)->d_member->offset;
    }
    """
    Py_ssize_t slot_offset "aioadapt_slot_offset"(object descriptor)


cdef inline PyObject *in_slot(object owner, Py_ssize_t offset) noexcept:
    """A borrowed reference; NULL while the slot is empty."""
    return (<PyObject **> (<char *> <void *> owner + offset))[0]

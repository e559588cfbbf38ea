from libc.stdint cimport int64_t


cdef bint is_token(const char *text, Py_ssize_t n) noexcept
cdef bint is_method(const char *text, Py_ssize_t n) noexcept
cdef bint is_target(const char *text, Py_ssize_t n) noexcept
cdef bint is_field_value(const char *text, Py_ssize_t n) noexcept
cdef bint is_chunk_extension(const char *text, Py_ssize_t n) noexcept

cdef bint same_word(
    const char *text, Py_ssize_t n, const char *lower, Py_ssize_t lower_n
) noexcept
cdef void trim(const char **text, Py_ssize_t *n) noexcept

# -1 if it is not a number, or too large for int64_t.
cdef int64_t decimal(const char *text, Py_ssize_t n) noexcept
cdef int64_t hexadecimal(const char *text, Py_ssize_t n) noexcept

cdef Py_ssize_t hexadecimal_digits(const char *text, Py_ssize_t n) noexcept

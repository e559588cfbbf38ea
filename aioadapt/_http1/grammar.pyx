"""Which bytes HTTP/1 allows where.

Every rule here is at most as liberal as the strictest of the parsers that
may read the same bytes after us (h11, llhttp): what one of them would reject
and another accept is rejected here.  Text is borrowed and need not be
NUL-terminated.
"""

from libc.stdint cimport int64_t

cdef extern from "<stdint.h>":
    const int64_t INT64_MAX

cdef enum Kind:
    TOKEN = 1        # RFC 9110, 5.6.2
    METHOD = 2       # upper case only: parsers disagree about other letters
    QUOTED = 4       # inside quotes, without escapes

cdef unsigned char[256] KINDS


cdef void fill_kinds():
    cdef unsigned char c
    for c in (
        b"!#$%&'*+-.^_`|~0123456789"
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    ):
        KINDS[c] |= TOKEN
    for c in b"-_ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        KINDS[c] |= METHOD
    for c in range(0x20, 0x7f):
        if c != b'"' and c != b"\\":
            KINDS[c] |= QUOTED


fill_kinds()


cdef bint all_are(Kind kind, const char *text, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i
    for i in range(n):
        if not KINDS[<unsigned char>text[i]] & kind:
            return False
    return n > 0


cdef bint is_token(const char *text, Py_ssize_t n) noexcept:
    return all_are(TOKEN, text, n)


cdef bint is_method(const char *text, Py_ssize_t n) noexcept:
    return all_are(METHOD, text, n)


cdef bint is_target(const char *text, Py_ssize_t n) noexcept:
    """Visible ASCII.  There is no early exit, so that the compiler can vectorise it."""
    cdef:
        unsigned char c, bad = 0
        Py_ssize_t i
    for i in range(n):
        c = <unsigned char>text[i]
        bad |= (c < 0x21) | (c > 0x7e)
    return n > 0 and not bad


cdef bint is_field_value(const char *text, Py_ssize_t n) noexcept:
    """No control characters except the tab; bytes above ASCII are allowed."""
    cdef:
        unsigned char c, bad = 0
        Py_ssize_t i
    for i in range(n):
        c = <unsigned char>text[i]
        bad |= ((c < 0x20) & (c != 0x09)) | (c == 0x7f)
    return not bad


cdef bint is_chunk_extension(const char *text, Py_ssize_t n) noexcept:
    """``;name``, ``;name=token`` or ``;name="text"``, any number of them.

    No white space around the parts and no escapes inside quotes: parsers differ
    there.
    """
    cdef Py_ssize_t i = 0, start
    while i < n:
        if text[i] != b";":
            return False
        i += 1
        start = i
        while i < n and KINDS[<unsigned char>text[i]] & TOKEN:
            i += 1
        if i == start:
            return False
        if i < n and text[i] == b"=":
            i += 1
            start = i
            if i < n and text[i] == b'"':
                i += 1
                while i < n and KINDS[<unsigned char>text[i]] & QUOTED:
                    i += 1
                if i == n or text[i] != b'"':
                    return False
                i += 1
            else:
                while i < n and KINDS[<unsigned char>text[i]] & TOKEN:
                    i += 1
                if i == start:
                    return False
    return True


cdef bint same_word(
    const char *text, Py_ssize_t n, const char *lower, Py_ssize_t lower_n
) noexcept:
    """Is *text* equal to the lower-case word *lower*, ignoring case?"""
    cdef:
        char c
        Py_ssize_t i
    if n != lower_n:
        return False
    for i in range(n):
        c = text[i]
        if b"A" <= c <= b"Z":
            c += 32
        if c != lower[i]:
            return False
    return True


cdef void trim(const char **text, Py_ssize_t *n) noexcept:
    """Strip spaces and tabs at both ends."""
    while n[0] > 0 and (text[0][0] == b" " or text[0][0] == b"\t"):
        text[0] += 1
        n[0] -= 1
    while n[0] > 0 and (text[0][n[0] - 1] == b" " or text[0][n[0] - 1] == b"\t"):
        n[0] -= 1


cdef int64_t decimal(const char *text, Py_ssize_t n) noexcept:
    cdef:
        int64_t value = 0
        int digit
        Py_ssize_t i
    if n == 0:
        return -1
    for i in range(n):
        digit = text[i] - 48
        if digit < 0 or digit > 9 or value > (INT64_MAX - digit) / 10:
            return -1
        value = value * 10 + digit
    return value


cdef inline int hexadecimal_digit(char c) noexcept:
    if b"0" <= c <= b"9":
        return c - 48
    if b"a" <= c <= b"f":
        return c - 97 + 10
    if b"A" <= c <= b"F":
        return c - 65 + 10
    return -1


cdef Py_ssize_t hexadecimal_digits(const char *text, Py_ssize_t n) noexcept:
    """The number of hexadecimal digits that *text* starts with."""
    cdef Py_ssize_t i = 0
    while i < n and hexadecimal_digit(text[i]) >= 0:
        i += 1
    return i


cdef int64_t hexadecimal(const char *text, Py_ssize_t n) noexcept:
    """At most 16 digits: h11 rejects more than 20, and nobody needs that many."""
    cdef:
        int64_t value = 0
        int digit
        Py_ssize_t i
    if n == 0 or n > 16:
        return -1
    for i in range(n):
        digit = hexadecimal_digit(text[i])
        if digit < 0 or value > INT64_MAX >> 4:
            return -1
        value = value * 16 + digit
    return value

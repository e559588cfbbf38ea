"""What load client and application agree on: who asks for what, and the right answer.

A request's path is ``/CONNECTION/SEQUENCE/BYTES``.  The answer's body has that
many bytes: first the two numbers, so that an answer to somebody else's request
is told from the right one, then a stretch of a pattern in which no two offsets
look alike, so that a shifted or repeated stretch is a wrong byte.
"""

import hashlib

#: Bytes of a body that say whose answer it is: ``connection/sequence`` and a newline.
IDENTITY_BYTES = 24

#: No answer is longer.
BODY_BYTES_AT_MOST = 1 << 20


def pattern() -> bytes:
    """What bodies are cut from."""
    return hashlib.shake_128(b"aioadapt").digest(BODY_BYTES_AT_MOST)


def identity(connection: int, sequence: int) -> bytes:
    return b"%010d/%012d\n" % (connection, sequence)

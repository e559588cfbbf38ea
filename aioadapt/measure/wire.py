"""What load client and application agree on: request paths and correct responses.

A request's path is ``/CONNECTION/SEQUENCE/BYTES``.  The response body has that many
bytes.  The two numbers come first, so that a response to another request is told
from the right one.  Then comes a slice of a pattern in which no two offsets look
alike, so that a shifted or repeated slice shows as a wrong byte.
"""

import hashlib

#: Bytes of a body that identify its request: ``connection/sequence`` and a newline.
IDENTITY_BYTES = 24

#: No response body is longer.
BODY_BYTES_AT_MOST = 1 << 20


def pattern() -> bytes:
    """The bytes that response bodies are cut from."""
    return hashlib.shake_128(b"aioadapt").digest(BODY_BYTES_AT_MOST)


def identity(connection: int, sequence: int) -> bytes:
    return b"%010d/%012d\n" % (connection, sequence)

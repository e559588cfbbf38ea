"""Pipes: asyncio's transports, but reading at most what a pipe holds.

asyncio reads 256 KiB at a time.  For a buffer of that size malloc maps new pages
and returns them afterwards: depending on the layout of the heap, an exchange of
small messages can cost eight times as much, and a stream of bytes three times.
64 KiB is the default capacity of a pipe, and below malloc's threshold for mmap.
"""

from .stdlib_private import UnixReadPipeTransport

READ_BYTES = 65536


class ReadPipeTransport(UnixReadPipeTransport):  # type: ignore[misc]
    """The read end of a pipe."""

    max_size = READ_BYTES

"""Pipes: asyncio's own transports, reading as much at once as a pipe holds.

asyncio asks for 256 KiB each time, and for a buffer of that size malloc maps
fresh pages and gives them back: an exchange of small messages then costs eight
times as much, or not, as the layout of the heap has it, and a stream of bytes
three times.  64 KiB is what a pipe holds unless it is told otherwise, and lies
below the size from which malloc does so.
"""

from .stdlib_private import UnixReadPipeTransport

READ_BYTES = 65536


class ReadPipeTransport(UnixReadPipeTransport):  # type: ignore[misc]
    """The end of a pipe that is read from."""

    max_size = READ_BYTES

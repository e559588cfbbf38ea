"""Descriptors kept back, so that something still works when the process has no others.

They are open on ``/dev/null``.  Closing one frees its number for the next call that
needs one.  Another thread may be quicker, which is why there is more than one.
"""

import contextlib
import os
from collections.abc import Iterator


class Reserve:
    """At most *size* spare descriptors."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._spare: list[int] = []  # owned

    def fill(self) -> bool:
        """Take what is missing; False if the process has no descriptor left."""
        while len(self._spare) < self._size:
            try:
                self._spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                return False
        return True

    def free_one(self) -> bool:
        """Close one, for a call that comes right after; False if none is left."""
        if not self._spare:
            return False
        os.close(self._spare.pop())
        return True

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """One is free during the block, if there is one."""
        freed = self.free_one()
        try:
            yield
        finally:
            if freed:
                self.fill()

    def close(self) -> None:
        while self.free_one():
            pass

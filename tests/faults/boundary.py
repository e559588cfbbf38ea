"""The library behind the calls of a build with ``-Dfaults=true``."""

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass

from .plan import CALLS, Strike, name_of

LIBRARY = os.environ.get("FAULTS_LIBRARY", "")
"""Where it is; ``./run faults`` sets this, and preloads it."""

_REMEMBERED = 4096


class _Strike(ctypes.Structure):
    _fields_ = (
        ("call", ctypes.c_int),
        ("what", ctypes.c_int),
        ("amount", ctypes.c_int),
        ("times", ctypes.c_int),
        ("first", ctypes.c_long),
        ("every", ctypes.c_long),
    )


class _Struck(ctypes.Structure):
    _fields_ = (
        ("call", ctypes.c_int),
        ("what", ctypes.c_int),
        ("nth", ctypes.c_long),
        ("inode", ctypes.c_long),
    )


@dataclass(frozen=True)
class Struck:
    """What happened, and the inode of the socket that it happened to, or 0."""

    call: str
    nth: int
    what: int
    inode: int

    def __str__(self) -> str:
        return f"{self.call} {self.nth}: {name_of(self.what)}"


class Boundary:
    def __init__(self, library: str = LIBRARY) -> None:
        self._library = ctypes.CDLL(library)
        self._library.faults_struck.restype = ctypes.c_long
        self._library.faults_struck.argtypes = [ctypes.c_void_p, ctypes.c_long]
        self._library.faults_aborted.argtypes = [ctypes.c_long, ctypes.c_long]

    def reaches_operations(self) -> bool:
        """Can operations of a ring fail as planned?  Since Linux 6.10."""
        return bool(self._library.faults_reach_operations())

    def arm(self, plan: Sequence[Strike]) -> None:
        """From now on count calls, and let this happen."""
        strikes = (_Strike * len(plan))(*map(_in_c, plan))
        self._library.faults_arm(strikes, len(plan))

    def disarm(self) -> None:
        self._library.faults_disarm()

    def counts(self) -> dict[str, int]:
        """How often each call was made since ``arm``."""
        counts = (ctypes.c_long * len(CALLS))()
        self._library.faults_counts(counts)
        return dict(zip(CALLS, counts, strict=True))

    def struck(self) -> list[Struck]:
        """What has happened since ``arm``."""
        room = (_Struck * _REMEMBERED)()
        n = self._library.faults_struck(room, _REMEMBERED)
        return [Struck(CALLS[it.call], it.nth, it.what, it.inode) for it in room[:n]]

    def was_aborted(self, listener_inode: int, nth: int) -> bool:
        """Was the nth connection that was taken from this socket's queue aborted?"""
        return bool(self._library.faults_aborted(listener_inode, nth) == 1)


def _in_c(strike: Strike) -> _Strike:
    return _Strike(
        CALLS.index(strike.call),
        strike.what,
        strike.amount,
        strike.times,
        strike.first,
        strike.every,
    )

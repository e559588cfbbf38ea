"""What was found when a schedule was played."""

import errno
import os
from collections import Counter
from dataclasses import dataclass, field

from .boundary import Struck


@dataclass
class Outcome:
    problems: list[str] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    """How often each call was made while the plan was armed."""
    struck: list[Struck] = field(default_factory=list)


_HARMLESS = {errno.EINTR, errno.EAGAIN}
_ARE_REPEATED = {"epoll wait", "write", "ring enter", "ring poll", "ring cancel"}


def may_end_one(struck: Struck) -> bool:
    """Whether a connection may have ended of it; of the rest none may."""
    if struck.what <= 0 or struck.what in _HARMLESS or struck.call in _ARE_REPEATED:
        return False
    if struck.call == "ring recv":
        return struck.what not in (errno.ECANCELED, errno.ENOBUFS)
    return True


def descriptors() -> set[str]:
    """Those of this process, with what they refer to."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except OSError:
            pass
    return found

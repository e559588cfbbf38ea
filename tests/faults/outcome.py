"""What was found when a schedule was played."""

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


def descriptors() -> set[str]:
    """Those of this process, with what they refer to."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except OSError:
            pass
    return found

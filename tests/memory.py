"""What a process holds, counted while nothing is in flight, and what grew since."""

import gc
import os
import sys
from collections import Counter
from dataclasses import dataclass

RECORDS = "aioadapt.control."
"""A controller keeps a few hundred."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Holding:
    """
    Attributes:
        objects: how many objects the garbage collector tracks, by type.
        blocks: small objects and buffers of any kind.
        resident_bytes: memory of the whole process, C and the kernel's
            registered buffers included.
        descriptors: what each open descriptor is.
    """

    objects: Counter[str]
    blocks: int
    resident_bytes: int
    descriptors: Counter[str]

    @classmethod
    def now(cls) -> "Holding":
        gc.collect()
        blocks = sys.getallocatedblocks()
        with open("/proc/self/statm") as statm:
            resident_pages = int(statm.read().split()[1])
        descriptors = Counter(
            _kind(os.readlink(f"/proc/self/fd/{fd}"))
            for fd in os.listdir("/proc/self/fd")
            if os.path.lexists(f"/proc/self/fd/{fd}")
        )
        objects = Counter(
            f"{type(thing).__module__}.{type(thing).__qualname__}"
            for thing in gc.get_objects()
        )
        return cls(objects, blocks, resident_pages * PAGE_BYTES, descriptors)

    def of_ours(self) -> dict[str, int]:
        """aioadapt's objects, except those whose number varies: handles and RECORDS."""
        passing = ("aioadapt._loop.handle.", RECORDS)
        return {
            name: count
            for name, count in self.objects.items()
            if name.startswith("aioadapt.") and not name.startswith(passing)
        }

    def grown_by_more_than(self, at_most: int, before: "Holding") -> dict[str, int]:
        """Types with more objects now, and how many more."""
        more = self.objects - before.objects
        return {
            name: count
            for name, count in more.items()
            if count > at_most and not name.startswith(RECORDS)
        }


def _kind(target: str) -> str:
    """Without the inode number of a socket or pipe, which does not matter."""
    return target.partition("[")[0]

"""Kernels of which somebody has reported that their io_uring misbehaves.

Warnings for a person who looks for a cause, and no more: what can be used is
decided by trying it, for distributions mend a kernel without changing its
version.
"""

import re
from dataclasses import dataclass
from math import inf

Version = tuple[float, ...]

_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:-rc(\d+))?")


@dataclass(frozen=True, slots=True)
class KnownBad:
    first: Version
    last: Version
    """Inclusive; a release candidate comes before its release."""
    kernels: str
    what: str
    here: str
    """What aioadapt makes of it."""
    reference: str

    def covers(self, release: str) -> bool:
        version = version_of(release)
        return version is not None and self.first <= version <= self.last


def version_of(release: str) -> Version | None:
    """``6.8.0-rc3`` as numbers that compare; None of what is no Linux release."""
    match = _RELEASE.match(release)
    if match is None:
        return None
    major, minor, patch, candidate = match.groups()
    return (
        int(major),
        int(minor),
        int(patch or 0),
        int(candidate) if candidate else inf,
    )


def known_bad(release: str) -> list[KnownBad]:
    """What is reported of this kernel, going by the version it calls itself."""
    return [entry for entry in KNOWN_BAD if entry.covers(release)]


def _liburing(number: int) -> str:
    return f"https://github.com/axboe/liburing/issues/{number}"


KNOWN_BAD = (
    KnownBad(
        (6, 0, 0, 0),
        (6, 4, inf, inf),
        "6.0 to 6.4",
        "a cancel is answered with ENOENT or ENOBUFS where it worked",
        "nothing to do: a cancel's own answer is never believed, only the last "
        "completion of what was cancelled",
        _liburing(984),
    ),
    KnownBad(
        (6, 1, 7, 0),
        (6, 1, 7, inf),
        "6.1.7",
        "a flood of ENOBUFS from receives although buffers are free",
        "costs speed: each one begins the receive anew; watch `enobufs` in "
        "`aioadapt top`, and update the kernel if it grows",
        _liburing(778),
    ),
    KnownBad(
        (6, 6, 1, 0),
        (6, 8, 0, 3),
        "6.6.1 to 6.8-rc3",
        "multishot accept gives invalid descriptors on a ring with DEFER_TASKRUN",
        "probed: where it shows, io_uring is not used; update the kernel",
        _liburing(1062),
    ),
    KnownBad(
        (6, 11, 0, 0),
        (6, 11, inf, inf),
        "6.11",
        "a cancel by user_data sometimes misses its operation",
        "a move away from io_uring may wait longer for such a connection; update "
        "the kernel if moves are left out of time",
        _liburing(1375),
    ),
    KnownBad(
        (6, 12, 0, 0),
        (6, 12, inf, inf),
        "6.12",
        "`read` is given the same provided buffer twice",
        "nothing to do: aioadapt receives with `recv`",
        _liburing(1530),
    ),
    KnownBad(
        (6, 13, 11, 0),
        (inf,),
        "6.13.11 and later",
        "bundles of receives come out of order",
        "nothing to do: aioadapt uses no bundles",
        _liburing(1409),
    ),
)

"""Kernels with reported io_uring bugs.

They are only warnings for a person who looks for a cause.  What can be used is
decided by probing, since distributions fix kernels without changing the version.
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
    """Inclusive; a release candidate sorts before its release."""
    kernels: str
    what: str
    here: str
    """What it means for aioadapt."""
    reference: str

    def covers(self, release: str) -> bool:
        version = version_of(release)
        return version is not None and self.first <= version <= self.last


def version_of(release: str) -> Version | None:
    """``6.8.0-rc3`` as comparable numbers; None if it is no Linux release."""
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
    """The reported bugs of this kernel, judged by its version alone."""
    return [entry for entry in KNOWN_BAD if entry.covers(release)]


def _liburing(number: int) -> str:
    return f"https://github.com/axboe/liburing/issues/{number}"


KNOWN_BAD = (
    KnownBad(
        (6, 0, 0, 0),
        (6, 4, inf, inf),
        "6.0 to 6.4",
        "a successful cancel is reported as ENOENT or ENOBUFS",
        "nothing to do: aioadapt ignores the result of a cancel and waits for the last "
        "completion of the cancelled operation",
        _liburing(984),
    ),
    KnownBad(
        (6, 1, 7, 0),
        (6, 1, 7, inf),
        "6.1.7",
        "many receives fail with ENOBUFS although buffers are free",
        "costs speed: each failure restarts the receive; watch `enobufs` in "
        "`aioadapt top`, and update the kernel if it grows",
        _liburing(778),
    ),
    KnownBad(
        (6, 6, 1, 0),
        (6, 8, 0, 3),
        "6.6.1 to 6.8-rc3",
        "multishot accept returns invalid descriptors on a ring with DEFER_TASKRUN",
        "probed: io_uring is not used on an affected kernel; update the kernel",
        _liburing(1062),
    ),
    KnownBad(
        (6, 11, 0, 0),
        (6, 11, inf, inf),
        "6.11",
        "a cancel by user_data sometimes misses its operation",
        "a move away from io_uring may wait longer for such a connection; update the "
        "kernel if moves time out",
        _liburing(1375),
    ),
    KnownBad(
        (6, 12, 0, 0),
        (6, 12, inf, inf),
        "6.12",
        "`read` gets the same provided buffer twice",
        "nothing to do: aioadapt uses `recv`",
        _liburing(1530),
    ),
    KnownBad(
        (6, 13, 11, 0),
        (inf,),
        "6.13.11 and later",
        "bundled receives arrive out of order",
        "nothing to do: aioadapt does not use bundles",
        _liburing(1409),
    ),
)

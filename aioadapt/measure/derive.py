"""From a sweep to thresholds: when is io_uring worth switching to?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aioadapt.control.thresholds import Thresholds

from .sweep import SMALL_BYTES, WORTHWHILE, Comparison


@dataclass(frozen=True, slots=True)
class Derived:
    thresholds: Thresholds
    reasons: list[str]  # a sentence for each number


def derive(table: Sequence[Comparison], base: Thresholds | None = None) -> Derived:
    """The thresholds that a sweep speaks for; the others stay as in *base*.

    ``up_connections`` is the smallest number measured at which io_uring was
    cheaper by more than the rounds spread, and from which on it never was the
    dearer one: its median was better at every number up to the largest, and by
    more than the spread at two of three at least, so that one bad round does
    not hide what the others show.  Where there is no such number there is
    nothing to gain by switching, and it is None: never.

    ``down_connections`` is the largest number below it at which io_uring was
    not cheaper, but half of ``up_connections`` at most, so that a load around
    one of them does not lead to and fro.  ``snap_connections`` is twice
    ``up_connections``: that far up a mistake is unlikely.

    ``large_payload_bytes`` is the smallest size measured at which io_uring was
    not cheaper in most places from ``up_connections`` on.
    """
    base = base or Thresholds()
    small = sorted(
        (row for row in table if row.body_bytes == SMALL_BYTES),
        key=lambda row: row.connections,
    )
    up = _up(small)
    if up is None:
        most = small[-1].connections
        why = (
            f"no difference that counts: there is no number of connections up to {most:,} "
            f"from which on io_uring was cheaper by more than the spread, so nothing is "
            f"gained by switching; up_connections is none and the server stays on epoll"
        )
        return Derived(replace(base, up_connections=None), [why])
    lower = [row.connections for row in small if row.connections < up]
    down = min([up // 2, *lower[-1:]])
    reasons = [
        f"up_connections {up}: from there on io_uring was the cheaper one",
        f"down_connections {down}: "
        + (
            f"at {lower[-1]} it was not, and half of {up} at most"
            if lower
            else "io_uring was cheaper even with one connection"
        ),
        f"snap_connections {2 * up}: twice as many",
    ]
    large, why = _large(table, up)
    return Derived(
        replace(
            base,
            up_connections=up,
            down_connections=down,
            snap_connections=2 * up,
            large_payload_bytes=large,
        ),
        [*reasons, why],
    )


def _up(small: Sequence[Comparison]) -> int | None:
    for index, row in enumerate(small):
        rest = small[index:]
        wins = sum(each.verdict == "uring" for each in rest)
        if (
            row.verdict == "uring"
            and all(each.gain >= WORTHWHILE for each in rest)
            and 3 * wins >= 2 * len(rest)
        ):
            return row.connections
    return None


def _large(table: Sequence[Comparison], up: int) -> tuple[int, str]:
    sizes = sorted({row.body_bytes for row in table if row.body_bytes > SMALL_BYTES})
    for size in sizes:
        rows = [
            row for row in table if row.body_bytes == size and row.connections >= up
        ]
        wins = sum(row.verdict == "uring" for row in rows)
        if rows and wins * 2 <= len(rows):
            return size, (
                f"large_payload_bytes {size}: at that size io_uring was cheaper at "
                f"{wins} of {len(rows)} numbers of connections"
            )
    beyond = 2 * max([SMALL_BYTES, *sizes])
    return beyond, (
        f"large_payload_bytes {beyond}: io_uring was cheaper at every size tried"
    )

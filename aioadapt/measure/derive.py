"""Derives thresholds from a sweep: when is switching to io_uring worth it?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aioadapt.control.thresholds import Thresholds

from .sweep import SMALL_BYTES, WORTHWHILE, Comparison


@dataclass(frozen=True, slots=True)
class Derived:
    thresholds: Thresholds
    reasons: list[str]  # one sentence for each threshold


def derive(table: Sequence[Comparison], base: Thresholds | None = None) -> Derived:
    """Derive what a sweep gives evidence for; the rest stays as in *base*.

    ``up_connections`` is the smallest measured number of connections at which
    io_uring was cheaper by more than the spread of the rounds, and from which on
    it stayed cheaper: its median was better at every number up to the largest,
    and by more than the spread at no fewer than two thirds of them.  So one bad
    round does not hide what the others show.  If there is no such number, there is
    nothing to gain by switching, and it is None: never.

    ``down_connections`` is the largest measured number below it, where io_uring
    was not cheaper, but at most half of ``up_connections``, and half of it where no
    smaller number was measured, so that a load around one of them does not cause
    switching back and forth.
    ``snap_connections`` is twice ``up_connections``: that far up, a mistake is
    unlikely.

    ``large_payload_bytes`` is the smallest measured size at which io_uring was
    not cheaper at most of the numbers from ``up_connections`` on.
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
            f"no significant difference: there is no number of connections up to "
            f"{most:,} from which io_uring was cheaper by more than the spread, so "
            f"nothing is gained by switching; up_connections is none and the server "
            f"stays on epoll"
        )
        return Derived(replace(base, up_connections=None), [why])
    lower = [row.connections for row in small if row.connections < up]
    down = min([up // 2, *lower[-1:]])
    reasons = [
        f"up_connections {up}: from there on io_uring was cheaper",
        f"down_connections {down}: "
        + (
            f"at {lower[-1]} it was not; at most half of {up}"
            if lower
            else "io_uring was cheaper even with one connection"
        ),
        f"snap_connections {2 * up}: twice up_connections",
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
        f"large_payload_bytes {beyond}: io_uring was cheaper at every size measured"
    )

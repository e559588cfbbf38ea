"""The stages of each pause: times recorded while a move passes through them.

The library keeps only the beginning and the end of a pause.  For a measurement its
methods are wrapped, which costs about one microsecond for each recorded time.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from aioadapt.migration.batch import MigrationBatch
from aioadapt.migration.messages import Transfer
from aioadapt.migration.move import Move
from aioadapt.migration.report import Pauses

#: Two recorded times, and the stage between them.  In order: the drain was called, the
#: source stopped reading, it released the connection, the target's thread took the
#: transfer, this connection's turn in it came, it was adopted.
NAMES = {
    ("asked", "stopped"): "until quiet and admitted",
    ("stopped", "released"): "source: settle, detach",
    ("released", "opened"): "between: until the target's thread runs",
    ("opened", "landing"): "target: others of the same batch",
    ("landing", "landed"): "target: adopt, new protocol, first read",
}


@contextlib.contextmanager
def watched(wanted: bool) -> Iterator[dict[str, Pauses]]:
    """Filled in at the end; empty unless *wanted*."""
    found: dict[str, Pauses] = {}
    if not wanted:
        yield found
        return
    times: dict[str, dict[int, float]] = defaultdict(dict)
    batch_sizes: list[int] = []
    opened_at_s = 0.0
    clock = time.monotonic
    stopped, released, opened, land = (
        Move.stopped_reading, Move.released, MigrationBatch._deliver, Move._land,
    )  # fmt: skip

    def stopped_reading(self: Move) -> None:
        times["stopped"][id(self)] = clock()
        stopped(self)

    def released_(self: Move, what: Any) -> None:
        times["released"][id(self)] = clock()
        released(self, what)

    def open_(self: MigrationBatch, transfer: Transfer) -> None:
        nonlocal opened_at_s
        opened_at_s = clock()
        batch_sizes.append(len(transfer._moves or ()))
        opened(self, transfer)

    def land_(self: Move, *args: Any) -> None:
        times["opened"][id(self)] = opened_at_s
        times["landing"][id(self)] = clock()
        land(self, *args)
        times["landed"][id(self)] = clock()

    Move.stopped_reading = stopped_reading  # type: ignore[method-assign]
    Move.released = released_  # type: ignore[method-assign, assignment]
    Move._land = land_  # type: ignore[method-assign, assignment]
    MigrationBatch._deliver = open_  # type: ignore[method-assign]
    asked_at_s = clock()
    try:
        yield found
    finally:
        Move.stopped_reading = stopped  # type: ignore[method-assign]
        Move.released = released  # type: ignore[method-assign]
        Move._land = land  # type: ignore[method-assign]
        MigrationBatch._deliver = opened  # type: ignore[method-assign]
    times["asked"] = dict.fromkeys(times["landed"], asked_at_s)
    for (start, end), name in NAMES.items():
        spans = [times[end][m] - times[start][m] for m in times["landed"]]
        found[name] = Pauses.of(spans)
    found["connections in a batch (thousandths)"] = Pauses.of(
        [size / 1000 for size in batch_sizes]
    )

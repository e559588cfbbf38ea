"""What is shown: loops that serve, and somebody who has connections moved.

There are two stages.  The adaptive server, whose controller decides; and two
loops with a migrator, drained there and back, which needs neither a ramp nor
io_uring.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aioadapt

from .driver import directions, drive, name
from .load import Load
from .options import Options
from .report import Record
from .serve import Side, serving


@dataclass(frozen=True, slots=True)
class Stage:
    address: tuple[str, int]
    engines: list[str]  # the names that answers may carry
    sides: Callable[[], Sequence[Side]]  # those there are just now
    record: Record
    connections: int  # to begin with
    play: Callable[[Load, asyncio.Event], Awaitable[None]]
    tally: Callable[[], None]  # brings the record up to date


@asynccontextmanager
async def drained(options: Options, sides: Sequence[Side]) -> AsyncIterator[Stage]:
    """Two servers on two loops; all connections are drained there and back."""
    record = Record(moves={name(*way): 0 for way in directions(sides)})
    async with serving(sides) as address:
        yield Stage(
            address,
            [side.name for side in sides],
            lambda: sides,
            record,
            options.connections,
            lambda _, stop: drive(
                sides,
                aioadapt.Migrator(),
                record,
                seconds=options.seconds,
                rounds=options.rounds,
                stop=stop,
            ),
            lambda: None,
        )

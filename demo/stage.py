"""What the demo shows: loops that serve, and a component that moves connections.

There are two stages.  One is the adaptive server, whose controller decides.  The
other is two loops and a migrator that drains them there and back; it needs neither
a ramp nor io_uring.
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
    engines: list[str]  # the names that responses may carry
    sides: Callable[[], Sequence[Side]]  # the current ones
    record: Record
    connections: int  # at the beginning
    play: Callable[[Load, asyncio.Event], Awaitable[None]]
    tally: Callable[[], None]  # updates the record


@asynccontextmanager
async def drained(options: Options, sides: Sequence[Side]) -> AsyncIterator[Stage]:
    """Two servers on two loops, with all connections drained there and back."""
    record = Record(moves={name(*ends): 0 for ends in directions(sides)})
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

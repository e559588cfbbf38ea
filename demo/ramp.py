"""The ramp: few connections become many and few again, round after round.

The ramp does not control the engine.  The server's controller sees connections
come and go and decides, and the live ones follow.
"""

import asyncio
from dataclasses import dataclass

from aioadapt.control.thresholds import Thresholds

from .load import Load

# A guess: long enough to watch, and for the controller to decide twice, there and
# back.
ROUND_S = 6.0
STEPS = 8  # each way


@dataclass(frozen=True, slots=True)
class Step:
    at_s: float  # since the start of the ramp
    connections: int


def few(connections: int) -> int:
    return max(1, connections // 16)


def steps(connections: int, seconds: float, rounds: int | None) -> list[Step]:
    """The steps of every round: up in a fifth of it, all connections for a quarter,
    down in a fifth.  A twentieth before and the remainder after have few."""
    count = rounds or max(1, round(seconds / ROUND_S))
    round_s = seconds / count
    low = few(connections)
    found: list[Step] = []
    for number in range(count):
        begins_s = number * round_s
        for step in range(1, STEPS + 1):
            part = step / STEPS
            up = round(low + (connections - low) * part)
            down = round(connections - (connections - low) * part)
            found.append(Step(begins_s + round_s * (0.05 + 0.2 * part), up))
            found.append(Step(begins_s + round_s * (0.5 + 0.2 * part), down))
    found.sort(key=lambda step: step.at_s)
    return found


def thresholds(connections: int, seconds: float, rounds: int | None) -> Thresholds:
    """Thresholds for a ramp of seconds; the defaults are for a day of service."""
    count = rounds or max(1, round(seconds / ROUND_S))
    tick_s = min(0.25, seconds / count / 40)
    return Thresholds(
        tick_s=tick_s,
        up_connections=max(2, connections // 2),
        down_connections=max(1, connections // 4),
        snap_connections=10 * connections,
        sustain_ticks=2,
        cooldown_s=4 * tick_s,
        # Every round has two switches, and both are intended.
        lock_switches=1000,
    )


async def ramp(
    load: Load, plan: list[Step], seconds: float, stop: asyncio.Event
) -> None:
    """Tell the client how many connections to have, until the time is up."""
    begun = asyncio.get_running_loop().time()
    for step in plan:
        if await _happens(stop, begun + step.at_s):
            return
        load.command(connections=step.connections)
    await _happens(stop, begun + seconds)


async def _happens(event: asyncio.Event, before: float) -> bool:
    try:
        async with asyncio.timeout_at(before):
            return await event.wait()
    except TimeoutError:
        return False

"""Moves every connection from one side to the other and back, repeatedly."""

import asyncio
from collections.abc import Sequence

import aioadapt

from .report import Record
from .serve import Side

# Between two drains every connection should get some responses from the loop that it
# is on.  With 256 clients and ten thousand requests a second that is ten each.
REST_S = 0.25
DRAIN_TIMEOUT_S = 5.0


def directions(sides: Sequence[Side]) -> list[tuple[Side, Side]]:
    there, back = sides
    return [(there, back), (back, there)]


def name(source: Side, target: Side) -> str:
    return f"{source.name}>{target.name}"


async def drive(
    sides: Sequence[Side],
    migrator: aioadapt.Migrator,
    record: Record,
    *,
    seconds: float,
    rounds: int | None,
    stop: asyncio.Event,
) -> None:
    """Drain there and back for *seconds*, or *rounds* times spread over that time."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    deadline = begun + seconds
    both = directions(sides)
    drains = None if rounds is None else rounds * len(both)
    done = 0
    while not stop.is_set() and (
        loop.time() < deadline if drains is None else done < drains
    ):
        source, target = both[done % len(both)]
        await _drain(source, target, migrator, record, loop.time(), deadline)
        done += 1
        wake_at = (
            loop.time() + REST_S if drains is None else begun + seconds * done / drains
        )
        await _wait(stop, min(wake_at, deadline) - loop.time())
    await _wait(stop, deadline - loop.time())


async def _drain(
    source: Side,
    target: Side,
    migrator: aioadapt.Migrator,
    record: Record,
    now: float,
    deadline: float,
) -> None:
    report = await migrator.drain(
        source.thread,
        to=target.thread,
        timeout_s=min(DRAIN_TIMEOUT_S, max(1.0, deadline - now)),
    )
    record.add(
        name(source, target),
        moved=report.moved,
        returned=report.returned,
        left=report.left,
        pauses_s=report.pauses_s,
    )


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await stop.wait()
    except TimeoutError:
        pass

"""Where one of our loops differs from asyncio.

asyncio plays a program twice, once with pauses between its iterations.  What is not
the same there depends on time, so only what both have in common is asked of our loops.
A loop of ours that differs plays it with pauses, too, and has to differ twice: a reset,
say, may overtake bytes in one run and not in the next.
"""

from dataclasses import dataclass

from .log import BYTES_EVENTS, Event, Traces
from .peers import BUFFER_BYTES
from .program import Program
from .world import played

PAUSE_S = 0.0005
NOTHING: Event = ("nothing",)

COMPLETION = ("uring", "swapping")
"""The loops where the kernel receives by itself, or may have."""


@dataclass(frozen=True)
class Difference:
    kind: str
    trace: str
    place: int
    expected: Event
    seen: Event

    def __str__(self) -> str:
        return (
            f"{self.trace}, event {self.place}: asyncio {self.expected}, "
            f"{self.kind} {self.seen}"
        )

    @property
    def what(self) -> tuple[str, str]:
        """Roughly what it is about: a shorter program has to show the same."""
        return str(self.expected[0]), str(self.seen[0])


def difference(
    program: Program, kind: str, expected: Traces | None = None
) -> Difference | None:
    """The first thing in which this kind of loop differs from asyncio."""
    expected = expected or played(program, "asyncio")
    if first_difference(expected, played(program, kind), kind) is None:
        return None
    agreed = in_common(expected, played(program, "asyncio", PAUSE_S))
    found = None
    for _ in range(2):
        seen = played(program, kind, PAUSE_S)
        found = first_difference(agreed, seen, kind, is_part=True)
        if found is None:
            break
        agreed = in_common(agreed, played(program, "asyncio", PAUSE_S))
    return found


def in_common(one: Traces, other: Traces) -> Traces:
    """Per trace, what both begin with."""
    common: Traces = {}
    for name in one.keys() | other.keys():
        mine, yours = one.get(name, []), other.get(name, [])
        place = _first_place(mine, yours)
        common[name] = mine[:place]
        if place == len(mine) == len(yours):
            common[name] = [*mine, NOTHING]
    return common


def first_difference(
    expected: Traces, seen: Traces, kind: str, is_part: bool = False
) -> Difference | None:
    for name in sorted(expected.keys() | seen.keys()):
        mine, yours = expected.get(name, []), seen.get(name, [])
        yours = cut_alike(
            mine, yours, 1 if kind in COMPLETION else BUFFER_BYTES, is_part
        )
        if is_part:
            yours = [*yours, NOTHING]
        place = _first_place(mine, yours)
        if place < len(mine) or (not is_part and place < len(yours)):
            return Difference(
                kind,
                name,
                place,
                mine[place] if place < len(mine) else NOTHING,
                yours[place] if place < len(yours) else NOTHING,
            )
    return None


def cut_alike(
    mine: list[Event], yours: list[Event], least: int, is_part: bool
) -> list[Event]:
    """*yours* with its bytes cut into the pieces of *mine*, where both have so many.

    What is larger than the sockets' buffers comes over several iterations, and how much in
    each of them is a matter of time; so it is with any bytes over io_uring, which receives
    in the kernel.  Until nothing more happens, all have to be there.
    """
    cut: list[Event] = []
    early = 0
    place = your_place = 0
    while place < len(mine) and your_place < len(yours):
        me, you = mine[place], yours[your_place]
        is_much = early or (_are_bytes(me) and me[1] >= least)
        if is_much and _are_bytes(me) and _are_bytes(you) and _like(me, you):
            early += you[1] - me[1]
            cut.append(me)
            place, your_place = place + 1, your_place + 1
        elif _are_bytes(me) and 0 < me[1] <= early:
            early -= me[1]
            cut.append(me)
            place += 1
        elif _are_bytes(you) and 0 < you[1] <= -early:
            early += you[1]
            your_place += 1
        elif me != you or (early and me[0] in ("now", "eof_received")):
            break
        else:
            if me[0] == "connection_lost":
                early = 0
            cut.append(me)
            place, your_place = place + 1, your_place + 1
    if early and not (is_part and place == len(mine)):
        return yours
    return [*cut, *yours[your_place:]]


def _are_bytes(event: Event) -> bool:
    return event[0] in BYTES_EVENTS


def _like(one: Event, other: Event) -> bool:
    return (one[0], *one[2:]) == (other[0], *other[2:])


def _first_place(one: list[Event], other: list[Event]) -> int:
    for place, (mine, yours) in enumerate(zip(one, other, strict=False)):
        if mine != yours:
            return place
    return min(len(one), len(other))

"""What a printed program is written with."""

import sys
from collections.abc import Callable
from typing import Any

from .program import Act, Step, Where
from .world import played


class _Do:
    def __getattr__(self, verb: str) -> Callable[..., Act]:
        return lambda *args: Act(verb, args)


do = _Do()


def _stepping(where: Where) -> Callable[..., Step]:
    def step(*acts: Act, hasty: bool = False) -> Step:
        return Step(where, acts, hasty)

    return step


outside = _stepping(Where.OUTSIDE)
callback = _stepping(Where.CALLBACK)
timer = _stepping(Where.TIMER)
task = _stepping(Where.TASK)
threadsafe = _stepping(Where.THREADSAFE)


def play(kind: str, *steps: Step) -> None:
    """Print what is seen on this kind of loop."""
    for name, trace in played(tuple(steps), kind).items():
        sys.stdout.write(f"{name}\n")
        for event in trace:
            sys.stdout.write(f"    {event}\n")


__all__: list[Any] = [
    "callback",
    "do",
    "outside",
    "play",
    "task",
    "threadsafe",
    "timer",
]

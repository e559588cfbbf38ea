"""What a program can do: how often each verb is chosen, and with which arguments.

The verbs are in rooms: a program stays in one, or in a few, so that its steps have to do
with each other.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .program import Act

GIVES = {"get_buffer", "factory", "eof_received"}
"""Callbacks whose value counts."""

Argument = Callable[[random.Random], Any]

EVERYWHERE = "everywhere"
ROOMS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("streams",), 10),
    (("datagrams",), 3),
    (("sockets",), 3),
    (("descriptors",), 2),
    (("tls", "streams"), 2),
    (("readers", "streams"), 3),
    (("streams", "datagrams", "sockets", "descriptors", "tls", "readers"), 2),
)


class Dice(random.Random):
    """Random numbers, and the rooms in which the program stays."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        rooms = self.choices(
            [room for room, _ in ROOMS], [weight for _, weight in ROOMS]
        )[0]
        self.rooms = (EVERYWHERE, *rooms)


@dataclass(frozen=True)
class Verb:
    do: Callable[..., Any]
    room: str
    weight: float
    arguments: tuple[Argument, ...]
    begins: bool  # may be the first of a program


VERBS: dict[str, Verb] = {}


def verb(
    room: str, weight: float, *arguments: Argument, begins: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(do: Callable[..., Any]) -> Callable[..., Any]:
        VERBS[do.__name__.rstrip("_")] = Verb(do, room, weight, arguments, begins)
        return do

    return register


def an_act(dice: Dice, kind: str = "", is_inner: bool = False) -> Act:
    if is_inner and dice.random() < 0.25:
        name = dice.choice(("fail", "fail", "give"))
    else:
        names = [
            name
            for name, verb in VERBS.items()
            if verb.room in dice.rooms
            and (verb.begins or not kind)
            and not (is_inner and name in _NOT_IN_A_CALLBACK)
        ]
        name = dice.choices(names, [VERBS[name].weight for name in names])[0]
    arguments = [argument(dice) for argument in VERBS[name].arguments]
    takes_one = bool(arguments) and VERBS[name].arguments[0] is an_actor
    if is_inner and takes_one and dice.random() < 0.8:
        arguments[0] = None  # the one whose callback it is
    return Act(name, tuple(arguments))


# -- arguments -----------------------------------------------------------------


def an_actor(dice: random.Random) -> int:
    """Its number, among those of the kind that the verb is about."""
    return dice.choices((0, 1, 2), (6, 2, 1))[0]


def a_size(dice: random.Random) -> int:
    return dice.choice((1, 10, 500, 5000, 5000, 400_000))


def a_small_size(dice: random.Random) -> int:
    return dice.choice((0, 1, 10, 500, 5000))


def one_of(*choices: Any) -> Argument:
    return lambda dice: dice.choice(choices)


def reactions(*callbacks: str) -> Argument:
    """What is done in some of these callbacks, the first time that they are called."""

    def some(dice: Any) -> tuple[tuple[str, Act], ...]:
        count = dice.choices((0, 1, 2), (5, 3, 1))[0]
        return tuple(_a_reaction(dice, dice.choice(callbacks)) for _ in range(count))

    return some


def _a_reaction(dice: Any, callback: str) -> tuple[str, Act]:
    if callback in GIVES and dice.random() < 0.5:
        (what,) = VERBS["give"].arguments
        return callback, Act("give", (what(dice),))
    return callback, an_act(dice, is_inner=True)


def an_inner_act(dice: Any) -> Act:
    return an_act(dice, is_inner=True)


_NOT_IN_A_CALLBACK = {
    "leave", "run_elsewhere", "listen", "listen_tls", "share", "pass_time", "renew"
}  # fmt: skip

"""A program: steps that are taken one after the other, the same on every loop.

A step says who acts and what is done.  Between two steps the loop runs until nothing
happens any more, unless the first of them is *hasty*.  So what is seen depends on
the order of the steps and not on how long anything takes.

A program refers to connections, sockets and tasks by number, modulo how many there are,
and a step about something that does not exist does nothing.  So each part of a program
is a program, which makes a failing one easy to shrink.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .rooms import Dice


class Where(StrEnum):
    """Who acts."""

    OUTSIDE = "outside"  # the loop is not running
    CALLBACK = "callback"  # call_soon
    TIMER = "timer"  # call_later(0)
    TASK = "task"
    THREADSAFE = "threadsafe"  # call_soon_threadsafe


@dataclass(frozen=True)
class Act:
    verb: str
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"do.{self.verb}({', '.join(map(_in_source, self.args))})"


@dataclass(frozen=True)
class Step:
    where: Where
    acts: tuple[Act, ...]
    is_hasty: bool = False

    def __str__(self) -> str:
        hasty = ", hasty=True" if self.is_hasty else ""
        return f"{self.where}({', '.join(map(str, self.acts))}{hasty})"


Program = tuple[Step, ...]

MOST_STEPS = 18


def program_of(seed: int) -> Program:
    from .rooms import Dice
    from .verbs import an_act

    dice = Dice(seed)
    opening = [Step(Where.OUTSIDE, (an_act(dice, "begin"),), dice.random() < 0.1)]
    return (*opening, *(_a_step(dice) for _ in range(dice.randint(3, MOST_STEPS))))


def _a_step(dice: "Dice") -> Step:
    from .verbs import an_act

    where = dice.choices(list(Where), (4, 6, 1, 2, 1))[0]
    count = dice.choices((1, 2, 3, 4), (6, 4, 2, 1))[0]
    return Step(where, tuple(an_act(dice) for _ in range(count)), dice.random() < 0.15)


def script_of(program: Program, kind: str) -> str:
    """The program as a script: run it in tests/, with the kind of loop as argument."""
    steps = "".join(f"    {step},\n" for step in program)
    wheres = ", ".join(sorted({str(step.where) for step in program}))
    return (
        "import sys\n\n"
        f"from fuzz.script import do, play, {wheres}\n\n"
        f"# Differs on {kind}.  usage: python SCRIPT asyncio|epoll|uring|adaptive|swapping\n"
        f"play(\n    sys.argv[1],\n{steps})\n"
    )


def _in_source(argument: Any) -> str:
    if isinstance(argument, tuple):
        comma = "," if len(argument) == 1 else ""
        return f"({', '.join(map(_in_source, argument))}{comma})"
    if isinstance(argument, type):
        return argument.__name__
    return str(argument) if isinstance(argument, Act) else repr(argument)

"""The shortest program that still shows it: steps, acts and reactions are taken out."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from .program import Act, Program, Where


def shrunk(program: Program, still_fails: Callable[[Program], bool]) -> Program:
    is_shorter = True
    while is_shorter:
        is_shorter = False
        for shorter in _shorter(program):
            if still_fails(shorter):
                program = shorter
                is_shorter = True
                break
    return program


def _shorter(program: Program) -> Iterator[Program]:
    size = len(program)
    chunk = size // 2
    while chunk:
        for start in range(0, size, chunk):
            yield program[:start] + program[start + chunk :]
        chunk //= 2
    for number, step in enumerate(program):
        before, after = program[:number], program[number + 1 :]
        if len(step.acts) > 1:
            for place in range(len(step.acts)):
                acts = step.acts[:place] + step.acts[place + 1 :]
                yield (*before, replace(step, acts=acts), *after)
        for place, act in enumerate(step.acts):
            for simpler in _simpler(act):
                acts = (*step.acts[:place], simpler, *step.acts[place + 1 :])
                yield (*before, replace(step, acts=acts), *after)
        if step.is_hasty:
            yield (*before, replace(step, is_hasty=False), *after)
        if step.where not in (Where.CALLBACK, Where.OUTSIDE):
            yield (*before, replace(step, where=Where.CALLBACK), *after)


def _simpler(act: Act) -> Iterator[Act]:
    for place, argument in enumerate(act.args):
        if isinstance(argument, tuple) and argument and isinstance(argument[0], tuple):
            for left_out in range(len(argument)):
                fewer = argument[:left_out] + argument[left_out + 1 :]
                yield replace(
                    act, args=(*act.args[:place], fewer, *act.args[place + 1 :])
                )
        elif type(argument) is int and argument > 1 and act.verb in ("write", "send"):
            for size in (1, argument // 4):
                if size < argument and place:
                    yield replace(
                        act, args=(*act.args[:place], size, *act.args[place + 1 :])
                    )

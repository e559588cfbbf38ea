"""``./run faults``: play random programs while system calls and completions fail."""

import argparse
import os
import re
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from .boundary import Boundary
from .outcome import Outcome
from .plan import name_of
from .schedule import Schedule, played, schedule_of

KINDS = ("epoll", "uring", "swapping", "moves")
"""Loops whose calls fail; and two loops between which connections move."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many programs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seconds", type=float, help="stop after this long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", type=int, default=5, help="print so many schedules")
    parser.add_argument("--loop", choices=KINDS, action="append", help="only this one")
    options = parser.parse_args()
    on_a_ring = {"uring", "swapping"} & {*(options.loop or KINDS)}
    if on_a_ring and not Boundary().reaches_operations():
        say("this kernel is too old to let operations of a ring fail: they do not")

    started = time.monotonic()
    schedules = [
        (seed, kind)
        for seed in range(options.first, options.first + options.seeds)
        for kind in options.loop or KINDS
    ]
    made: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    played_so_far = 0
    first: dict[str, tuple[Schedule, Outcome]] = {}
    counts: Counter[str] = Counter()
    with ProcessPoolExecutor(options.jobs) as pool:
        for (seed, kind), outcome in zip(
            schedules, pool.map(_play, schedules, chunksize=8), strict=True
        ):
            played_so_far += 1
            made.update(outcome.made)
            struck.update(f"{it.call} {name_of(it.what)}" for it in outcome.struck)
            for problem in outcome.problems:
                roughly = f"{kind}: {re.sub('[0-9]+|0x[0-9a-f]+', 'N', problem)}"
                counts[roughly] += 1
                first.setdefault(roughly, (schedule_of(seed, kind), outcome))
            if options.seconds and time.monotonic() - started > options.seconds:
                pool.shutdown(cancel_futures=True)
                break

    say(f"{played_so_far} schedules in {time.monotonic() - started:.0f} s")
    say("made: " + _in_words(made))
    say("struck: " + _in_words(struck))
    say(f"{sum(counts.values())} problems" + (":" if counts else ""))
    for problem, count in counts.most_common():
        say(f"  {count} x {problem}, first with seed {first[problem][0].seed}")
    for problem, _ in counts.most_common(options.show):
        say("")
        say(_described(*first[problem]))
    return 1 if counts else 0


def _play(schedule: tuple[int, str]) -> Outcome:
    return played(schedule_of(*schedule))


def _described(schedule: Schedule, outcome: Outcome) -> str:
    again = f"--first {schedule.seed} --seeds 1 --loop {schedule.kind}"
    return "\n".join(
        (
            *outcome.problems,
            f"again: ./run faults {again}",
            "plan:",
            *(f"    {strike}" for strike in schedule.plan),
            *(f"    while closing: {strike}" for strike in schedule.ending),
            "what struck:",
            *(f"    {what}" for what in outcome.struck),
            "program:",
            *(f"    {step}" for step in schedule.program),
        )
    )


def _in_words(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.most_common())


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

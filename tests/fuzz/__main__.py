"""``./run fuzz``: play random programs and print, as scripts, those that differ."""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from .campaign import Finding, find, script_with_comment

KINDS = ("epoll", "uring", "adaptive", "swapping")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run fuzz", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many programs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seconds", type=float, help="stop after this long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", type=int, default=5, help="print so many scripts")
    parser.add_argument("--loop", choices=KINDS, action="append", help="only this one")
    options = parser.parse_args()

    started = time.monotonic()
    kinds = tuple(options.loop or KINDS)
    reached: Counter[str] = Counter()
    findings: list[Finding] = []
    played = 0
    seeds = iter(range(options.first, options.first + options.seeds))
    with ProcessPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(find, seeds, [kinds] * options.seeds, chunksize=4):
            played += 1
            reached.update(outcome.reached)
            findings += outcome.findings
            late = options.seconds and time.monotonic() - started > options.seconds
            if late:
                pool.shutdown(cancel_futures=True)
                break

    say(f"{played} programs in {time.monotonic() - started:.0f} s")
    say("reached: " + ", ".join(f"{name} {n}" for name, n in reached.most_common()))
    shown: Counter[str] = Counter()
    for finding in findings:
        shown[finding.what] += 1
    say(f"{len(findings)} differ" + (":" if findings else ""))
    for what, count in shown.most_common():
        first = next(finding for finding in findings if finding.what == what)
        say(f"  {count} x {what}, first with seed {first.seed}: {first.details}")
    for what, _ in shown.most_common(options.show):
        finding = next(finding for finding in findings if finding.what == what)
        say("")
        say(script_with_comment(finding))
    return 1 if findings else 0


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tools.foreign_suites``: the command line."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from . import environment
from .comparing import Counted, count, lost, table
from .running import KINDS, Results, read, results_file, run_suite
from .suites import SUITES, Suite


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/foreign-suites",
        description="Run other projects' tests over asyncio and over both loops.",
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--loops", default=",".join(KINDS), help="default: %(default)s")
    parser.add_argument(
        "--again",
        type=int,
        default=5,
        metavar="N",
        help="repeat tests that pass on asyncio only N times on each loop (%(default)s)",
    )
    parser.add_argument(
        "--kept", action="store_true", help="compare the results of the last run again"
    )
    parser.add_argument(
        "--go-on",
        dest="resume",
        action="store_true",
        help="resume the last run: only tests without a result",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="N processes share each suite (%(default)s; more cause more flaky tests)",
    )
    chosen = parser.parse_args()
    if unknown := set(chosen.suites) - set(SUITES):
        parser.error(f"unknown suite: {', '.join(sorted(unknown))}")
    chosen.suites = [SUITES[name] for name in chosen.suites or SUITES]
    chosen.loops = [kind for kind in KINDS if kind in chosen.loops.split(",")]
    return chosen


def main() -> int:
    chosen = arguments()
    counted: dict[tuple[str, str], Counted] = {}
    failing = 0
    for suite in chosen.suites:
        results = outcomes(suite, chosen)
        for kind, found in results.items():
            counted[f"{suite.name} {suite.release}", kind] = count(found, kind)
        failing += compare(suite, results, chosen.again)
    print(f"\nPython {sys.version.split()[0]}\n")
    print(table(counted))
    return 1 if failing else 0


def outcomes(suite: Suite, chosen: argparse.Namespace) -> dict[str, Results]:
    if chosen.kept:
        return {kind: read(results_file(suite, kind)) for kind in chosen.loops}
    made = environment.make(suite)
    results = {}
    for kind in chosen.loops:
        print(
            f"{suite.name} {suite.release} over {kind} ...", file=sys.stderr, flush=True
        )
        results[kind] = run_suite(
            suite, made, kind, resume=chosen.resume, processes=chosen.processes
        )
    return results


def compare(suite: Suite, results: dict[str, Results], again: int) -> int:
    """Print what passes on asyncio only; returns how many do not always pass on ours."""
    if "asyncio" not in results:
        return 0
    never = 0
    for kind in [kind for kind in results if kind != "asyncio"]:
        all_lost = lost(results["asyncio"], results[kind])
        differing = [test for test in all_lost if test not in suite.about_asyncio]
        print(f"\n{suite.name}: {len(differing)} pass on asyncio but not on {kind}")
        for test in set(all_lost) & set(suite.about_asyncio):
            print(f"  not counted: {test}: {suite.about_asyncio[test]}")
        repeated = (
            repeat(suite, differing, ("asyncio", kind), again) if differing else {}
        )
        for test in differing:
            result = results[kind].get(test)
            if result is None:
                print(f"  {test}: not run")
            else:
                print(f"  {test}: {result.outcome}: {result.why.splitlines()[:1]}")
            if again:
                passes = {k: repeated[k][test] for k in ("asyncio", kind)}
                told = ", ".join(f"{n} of {again} on {k}" for k, n in passes.items())
                print(f"    alone, passed {told}")
            never += not again or repeated[kind][test] < again
    return never


def repeat(
    suite: Suite, tests: list[str], kinds: tuple[str, ...], times: int
) -> dict[str, Counter[str]]:
    """How many times each of *tests* passes, by loop."""
    made = environment.make(suite)
    passed: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    for _ in range(times):
        for kind in kinds:
            found = run_suite(suite, made, kind, tests, "-again")
            passed[kind].update(
                t for t, r in found.items() if r.outcome in ("passed", "xfailed")
            )
    return passed


if __name__ == "__main__":
    sys.exit(main())

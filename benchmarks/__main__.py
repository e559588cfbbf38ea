"""``python -m benchmarks``: the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from aioadapt.measure.processes import allow_descriptors
from aioadapt.measure.usage import ExperimentError
from benchmarks import contest, micro, swaps
from benchmarks.build import BuildError
from benchmarks.echo_server import MODES
from benchmarks.loops import LOOPS
from benchmarks.measure import MeasureError, check_cores
from benchmarks.micro_worker import SCENARIOS
from benchmarks.report import machine, machine_text
from benchmarks.servers import C_DATAGRAM_SERVERS, C_SERVERS, Scenario


def names(text: str) -> list[str]:
    known = [*LOOPS, *C_SERVERS]
    found = list(dict.fromkeys(name for name in text.split(",") if name))
    for name in found:
        if name not in known and ":" not in name:
            raise argparse.ArgumentTypeError(
                f"unknown server {name!r}: it is one of {', '.join(known)}, "
                "or module:factory"
            )
    return found


def counts(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(
            f"not a positive whole number, or a list of them: {text!r}"
        )
    return found


def count(text: str) -> int:
    if len(found := counts(text)) > 1:
        raise argparse.ArgumentTypeError(f"expected one number: {text!r}")
    return found[0]


def seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    # The upper bound, a day, excludes "inf" and "nan".
    if not 0.001 <= found <= 86400:
        raise argparse.ArgumentTypeError(f"not a number of seconds: {text!r}")
    return found


def list_of(known: Iterable[str]) -> str:
    return f"comma-separated names: {', '.join(known)}, or module:factory"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compares event loops with their peers and with the C limit. "
        "benchmarks/README.md explains what the figures mean and how they are taken.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    echo = commands.add_parser("echo", help="server CPU per TCP echo")
    http = commands.add_parser(
        "http", help="server CPU per request, uvicorn with httptools"
    )
    datagrams = commands.add_parser("datagrams", help="server CPU per UDP echo")
    small = commands.add_parser("micro", help="CPU per call_soon, timer, task, wake-up")
    changing = commands.add_parser(
        "swaps", help="how soon connections under load change engines, and who notices"
    )

    echo.add_argument(
        "--servers",
        type=names,
        default=names("epoll,uring,uvloop,asyncio,c-epoll,c-uring"),
        help=list_of([*LOOPS, *C_SERVERS]),
    )
    echo.add_argument(
        "--mode", choices=MODES, default="protocol", help="how the echo is written"
    )
    datagrams.add_argument(
        "--servers",
        type=names,
        default=names("epoll,uring,uvloop,asyncio,c-epoll"),
        help=list_of([*LOOPS, *C_DATAGRAM_SERVERS]),
    )
    for command in (echo, datagrams):
        command.add_argument(
            "--bytes",
            type=counts,
            default=[64],
            help="one size, or several separated by commas",
        )
    for command in (http, small):
        command.add_argument(
            "--servers",
            type=names,
            default=names("epoll,uring,uvloop,asyncio"),
            help=list_of(LOOPS),
        )
    for command, connections in ((echo, [256]), (datagrams, [16]), (http, [64])):
        command.add_argument(
            "--connections",
            type=counts,
            default=connections,
            help="one number, or several separated by commas",
        )
        command.add_argument(
            "--seconds", type=seconds, default=2.0, help="length of each measurement"
        )
        command.add_argument("--client-core", type=int, default=1)
        command.add_argument(
            "--retakes",
            type=int,
            default=2,
            help="how many times to repeat a round that other work disturbed",
        )
    changing.add_argument("--connections", type=counts, default=[1_000, 10_000])
    changing.add_argument("--rounds", type=count, default=5)
    changing.add_argument(
        "--saturated", action="store_true", help="connections ask again at once"
    )
    changing.add_argument("--server-core", type=int, default=0)
    changing.add_argument("--client-core", type=int, default=1)
    changing.add_argument(
        "--json", type=Path, metavar="FILE", help="write every change to FILE"
    )
    for command in (echo, datagrams, http, small):
        command.add_argument("--rounds", type=count, default=5)
        command.add_argument(
            "--reference", default="uvloop", help="the server that ratios refer to"
        )
        command.add_argument("--server-core", type=int, default=0)
        command.add_argument(
            "--json", type=Path, metavar="FILE", help="write every round to FILE"
        )
    small.add_argument(
        "--only",
        action="append",
        choices=list(SCENARIOS),
        metavar="SCENARIO",
        help=f"may be repeated; one of: {', '.join(SCENARIOS)}",
    )
    small.add_argument(
        "--scale", type=float, default=1.0, help="multiplies the number of operations"
    )
    return top


def scenarios(options: argparse.Namespace) -> list[Scenario]:
    echo = options.command == "echo"
    return [
        Scenario(
            kind=options.command,
            mode=options.mode if echo else "protocol",
            connections=connections,
            request_bytes=size,
            seconds=options.seconds,
            server_core=options.server_core,
            client_core=options.client_core,
        )
        for size in ([0] if options.command == "http" else options.bytes)
        for connections in options.connections
    ]


def compete(options: argparse.Namespace) -> tuple[list[dict[str, object]], bool]:
    check_cores(options.server_core, options.client_core)
    # In addition to the connections: standard streams, the listener, the loop's own.
    allow_descriptors(max(options.connections) + 64)
    results, failed = [], False
    for scenario in scenarios(options):
        outcome = contest.hold(
            scenario,
            options.servers,
            rounds=options.rounds,
            retakes=options.retakes,
            reference=options.reference,
        )
        print(f"\n{contest.text(outcome)}", flush=True)
        results.append(contest.as_json(outcome))
        failed = failed or bool(outcome.failed)
    return results, failed


def compare_small_things(
    options: argparse.Namespace,
) -> tuple[list[dict[str, object]], bool]:
    check_cores(options.server_core)
    outcome = micro.hold(
        options.servers,
        only=options.only,
        rounds=options.rounds,
        scale=options.scale,
        core=options.server_core,
        reference=options.reference,
    )
    print(f"\n{micro.text(outcome)}", flush=True)
    return [micro.as_json(outcome)], bool(outcome.failed)


def change_engines(
    options: argparse.Namespace,
) -> tuple[list[dict[str, object]], bool]:
    check_cores(options.server_core, options.client_core)
    allow_descriptors(max(options.connections) + 64)
    found = swaps.hold(
        options.connections,
        saturated=options.saturated,
        rounds=options.rounds,
        server_core=options.server_core,
        client_core=options.client_core,
    )
    return found, any(each["failed"] for each in found)


RUNS = {"micro": compare_small_things, "swaps": change_engines}


def main() -> int:
    options = parser().parse_args()
    facts = machine(getattr(options, "servers", ["adaptive"]))
    print(machine_text(facts))
    try:
        results, failed = RUNS.get(options.command, compete)(options)
    except (MeasureError, ExperimentError, BuildError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if options.json is not None:
        options.json.write_text(
            json.dumps({"machine": facts, "results": results}, indent=2) + "\n"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

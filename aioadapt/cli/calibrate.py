"""``aioadapt calibrate``: measures both engines here and derives the thresholds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from aioadapt.measure.sweep import Comparison


def calibrate(
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Take half a minute instead of three; less precise."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the results without storing them.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File to store the thresholds in.  [default: where servers look "
            "for it]",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """Measure when io_uring pays off here.

    uvicorn serves small and large responses over both engines in turn, with 1 to
    1,024 connections.  The resulting thresholds are stored where `aioadapt serve`
    finds them.

    The measurement needs two cores for itself.  If other programs used them for too
    much of the time, nothing is stored unless --output is given, and the exit status
    is 1.
    """
    # Imported here, so that --help is fast and works without a server installed.
    from rich.console import Console

    import aioadapt
    from aioadapt.control import calibration
    from aioadapt.measure.derive import derive
    from aioadapt.measure.machine import facts
    from aioadapt.measure.sweep import FULL, QUICK, compare, disturbance, sweep

    from .progress import Progress

    support = aioadapt.uring_support()
    if not support.available:
        raise aioadapt.UringUnavailableError(
            f"nothing to compare: {support.reason}; servers stay on epoll here"
        )
    if not dry_run:
        calibration.check_place(output)
    plan = QUICK if quick else FULL
    console = Console(stderr=True)
    cells = []
    with Progress(console, total=2 * plan.rounds * len(plan.cells)) as progress:
        progress.say(f"calibrating, about {plan.about_s:.0f} s")
        for cell in sweep(plan, progress.say):
            cells.append(cell)
            progress.step()
    table = compare(cells)
    derived = derive(table)
    measured = {"machine": facts(), "cells": [cell.as_json() for cell in cells]}
    if as_json:
        answer = {
            "thresholds": derived.thresholds.to_json(),
            "reasons": derived.reasons,
            **measured,
        }
        print(json.dumps(answer))
    else:
        _print_table(table)
        for reason in derived.reasons:
            print(reason)
    said = disturbance(cells)
    if said and output is None and not dry_run:
        console.print(f"nothing stored: {said}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    if said:
        console.print(said, highlight=False, soft_wrap=True)
    if not dry_run:
        path = calibration.save(derived.thresholds, output, measured=measured)
        console.print(f"stored in {path}", highlight=False, soft_wrap=True)


def _print_table(table: "list[Comparison]") -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(title="server CPU per request, medians of the rounds")
    for column in (
        "response",
        "connections",
        "epoll us",
        "uring us",
        "uring saves",
        "quartiles",
        "epoll req/s",
        "uring req/s",
        "cheaper",
    ):
        shown.add_column(column, justify="right")
    for row in table:
        shown.add_row(
            f"{row.body_bytes:,} B",
            f"{row.connections:,}",
            f"{row.epoll_us:.2f}",
            f"{row.uring_us:.2f}",
            f"{row.gain:+.1%}",
            f"{row.low:+.1%} to {row.high:+.1%}",
            f"{row.epoll_per_s:,.0f}",
            f"{row.uring_per_s:,.0f}",
            "no difference" if row.verdict == "tie" else row.verdict,
        )
    Console(width=132).print(shown)

"""``python -m demo``: its options, and what it prints."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from aioadapt.cli.main import run


def demo(
    seconds: Annotated[
        float, typer.Option(min=1, max=86_400, help="How long the clients talk.")
    ] = 10.0,
    connections: Annotated[
        int, typer.Option(min=1, max=50_000, help="Keep-alive connections at most.")
    ] = 256,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Ramps, or drains there and back, spread over the time.  [as many as fit]",
        ),
    ] = None,
    think_ms: Annotated[
        float,
        typer.Option(
            min=0, max=10_000, help="How long a client thinks between its requests."
        ),
    ] = 0.0,
    drains: Annotated[
        bool,
        typer.Option(
            "--drains",
            help="No ramp and no controller: all connections at once, drained from "
            "one loop to the other and back as often as fits.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object instead of the summary."),
    ] = False,
) -> None:
    """An adaptive server on a ramp of live connections, and every byte checked.

    Keep-alive clients in another process become many and few again.  The server
    begins on epoll; its controller sees the load change and changes the engine,
    and the live connections follow to the other loop, and back.

    The exit status is 1 if anything failed, was lost, doubled or misrouted, or
    if nothing was moved.
    """
    # Here, so that --help works and is quick with no server installed.
    from rich.console import Console

    from .options import Options
    from .perform import perform

    options = Options(seconds, connections, rounds, think_ms, drains)
    report = perform(options, Console(stderr=True))
    if as_json:
        print(json.dumps(report.as_json()))
    else:
        print("\n".join(report.lines()))
    raise typer.Exit(0 if report.ok else 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(demo)
    return run(app, list(sys.argv[1:] if arguments is None else arguments), "demo")


if __name__ == "__main__":
    sys.exit(main())

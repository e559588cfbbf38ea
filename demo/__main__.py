"""``python -m demo``: its options and its output."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from aioadapt.cli.main import run


def demo(
    seconds: Annotated[
        float,
        typer.Option(min=1, max=86_400, help="How long the clients send requests."),
    ] = 10.0,
    connections: Annotated[
        int,
        typer.Option(
            min=1, max=50_000, help="Maximum number of keep-alive connections."
        ),
    ] = 256,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of ramps, or of drains there and back, spread over the time.  "
            "[as many as fit]",
        ),
    ] = None,
    think_ms: Annotated[
        float,
        typer.Option(
            min=0, max=10_000, help="Mean think time of a client between requests."
        ),
    ] = 0.0,
    drains: Annotated[
        bool,
        typer.Option(
            "--drains",
            help="Without ramp and controller: drain all connections from one loop "
            "to the other and back, as often as fits.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object instead of the summary."),
    ] = False,
) -> None:
    """Run an adaptive server under a ramp of live connections, checking every byte.

    Keep-alive clients in another process become many, and then few again.  The
    server starts on epoll.  Its controller sees the load change and switches the
    engine, and the live connections follow to the other loop, and back.

    The exit status is 1 if a request failed, was lost, duplicated or misrouted, or
    if nothing was moved.
    """
    # Imported here, so that --help is fast and works without a server installed.
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

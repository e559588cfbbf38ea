"""``python -m benchmarks.experiment``: its options and its output."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aioadapt.cli.main import run

REPORT = Path("docs/report")


def experiment(
    quick: Annotated[
        bool, typer.Option("--quick", help="Takes two minutes at most; less precise.")
    ] = False,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="How many times each mode is measured.  [3]"),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="The folder for results, tables and plots.")
    ] = REPORT,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Measure nothing; write the report of these results."
        ),
    ] = None,
) -> None:
    """Compare epoll, io_uring, adapting with moving, and adapting without.

    It measures a ramp of keep-alive connections up and down, a burst that opens no
    connections, churn, and a mix with large responses.  Each runs in all four
    modes, which take turns, for several rounds.  Then it measures what two loops on
    one interpreter cost.  Every byte of every response is compared.  It needs two
    cores for itself and about a quarter of an hour.

    The exit status is 1 if any request failed, was lost, duplicated or misrouted.
    """
    # Imported here, so that --help is fast and works without a server installed.
    from dataclasses import replace

    from rich.console import Console

    import aioadapt
    from aioadapt.cli.progress import Progress
    from benchmarks.experiment.plan import FULL, QUICK
    from benchmarks.experiment.report import check_folder, load, write
    from benchmarks.experiment.run import perform, steps_in
    from benchmarks.experiment.summary import verdict_of

    console = Console(stderr=True)
    if source is not None:
        results = load(source)
    else:
        support = aioadapt.uring_support()
        if not support.available:
            raise aioadapt.UringUnavailableError(
                f"there is nothing to compare: {support.reason}"
            )
        # Checked first, rather than after a quarter of an hour.
        check_folder(output)
        plan = QUICK if quick else FULL
        if rounds is not None:
            plan = replace(plan, rounds=rounds)
        with Progress(console, total=steps_in(plan)) as progress:
            results = perform(plan, progress).as_json()
    for path in write(results, output):
        print(path)
    counts = verdict_of(results)
    console.print(
        ", ".join(f"{count:,} {what}" for what, count in counts.items()),
        highlight=False,
        soft_wrap=True,
    )
    if any(count for what, count in counts.items() if what != "requests"):
        raise typer.Exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment; returns the exit status."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(experiment)
    return run(
        app, list(sys.argv[1:] if arguments is None else arguments), "experiment"
    )


if __name__ == "__main__":
    sys.exit(main())

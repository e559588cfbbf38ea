"""Progress of a long measurement: a bar on a terminal, lines elsewhere."""

from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar


class Progress:
    """``say`` shows the current activity, ``step`` counts one of *total* as done."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0
        # No refresh thread: it would use CPU during a measurement.
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)

    def say(self, what: str) -> None:
        self._bar.update(self._task, description=what, refresh=True)
        if not self._console.is_terminal:
            self._console.print(
                f"[{self._done}/{self._total}] {what}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def step(self) -> None:
        self._done += 1
        self._bar.update(self._task, advance=1, refresh=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

"""The progress of the demo: a table on a terminal, lines elsewhere."""

import asyncio
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .load import Load
from .report import FAULTS, in_words, percentile
from .stage import Stage

# Drawing uses the interpreter, which the loops need too, for some milliseconds.
LIVE_EVERY_S = 0.5
LINE_EVERY_S = 1.0
DECISIONS_SHOWN = 4


class Scene:
    """The current figures, and the rates since the previous ones."""

    def __init__(self, stage: Stage, load: Load) -> None:
        self._stage = stage
        self._load = load
        self.record = stage.record
        self._loop = asyncio.get_running_loop()
        self._begun = self._then = self._loop.time()
        self._requests_then = dict.fromkeys(stage.engines, 0)
        self.elapsed_s = 0.0
        # Engine, connections, requests per second.
        self.rows: list[tuple[str, int, float]] = []

    def look(self) -> None:
        self._stage.tally()
        now = self._loop.time()
        answered: dict[str, int] = self._load.standing.get(
            "requests_by_engine", self._requests_then
        )
        since_s = max(now - self._then, 1e-9)
        self.rows = [
            (
                side.name,
                len(side.thread.connections),
                (answered[side.name] - self._requests_then[side.name]) / since_s,
            )
            for side in self._stage.sides()
        ]
        self.elapsed_s = now - self._begun
        self._then, self._requests_then = now, answered

    @property
    def moves(self) -> str:
        return ", ".join(
            f"{ends} {count:,}" for ends, count in self.record.moves.items()
        )

    @property
    def pause(self) -> str:
        p50, p99 = (1e3 * percentile(self.record.last_pauses_s, p) for p in (50, 99))
        return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms"

    @property
    def faults(self) -> str:
        return ", ".join(
            f"{self._load.standing.get(fault, 0):,} {fault}" for fault in FAULTS
        )


class Display(Protocol):
    every_s: float

    def show(self, scene: Scene) -> None: ...
    def close(self) -> None: ...


class LiveTable:
    every_s = LIVE_EVERY_S

    def __init__(self, console: Console) -> None:
        # Without a refresh thread, which would take the interpreter at any time.
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, scene: Scene) -> None:
        table = Table()
        table.add_column("loop")
        table.add_column("connections", justify="right")
        table.add_column("requests/s", justify="right")
        for name, connections, rate in scene.rows:
            table.add_row(name, f"{connections:,}", f"{rate:,.0f}")
        below = f"moves   {scene.moves}\npause   {scene.pause}\nfaults  {scene.faults}"
        decisions = [in_words(x) for x in scene.record.decisions[-DECISIONS_SHOWN:]]
        below = "\n".join([below, "", *decisions, scene.record.deciding])
        picture = Group(f"aioadapt demo, {scene.elapsed_s:.0f} s", table, Text(below))
        self._live.update(picture, refresh=True)

    def close(self) -> None:
        self._live.stop()


class Lines:
    every_s = LINE_EVERY_S

    def __init__(self, console: Console) -> None:
        self._console = console
        self._decisions_shown = 0

    def show(self, scene: Scene) -> None:
        decisions = scene.record.decisions
        for decision in decisions[self._decisions_shown :]:
            self._print(f"       {in_words(decision)}")
        self._decisions_shown = len(decisions)
        where = "  ".join(
            f"{name}: {connections:,} connections, {rate:,.0f} requests/s"
            for name, connections, rate in scene.rows
        )
        line = (
            f"{scene.elapsed_s:5.1f} s  {where}  moves: {scene.moves}"
            f"  pause: {scene.pause}  faults: {scene.faults}"
        )
        self._print(line)

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        pass


async def follow(display: Display, scene: Scene) -> None:
    """Show *scene* repeatedly, until cancelled."""
    while True:
        await asyncio.sleep(display.every_s)
        scene.look()
        display.show(scene)

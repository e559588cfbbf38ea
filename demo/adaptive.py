"""The demo's adaptive server: it starts on epoll and switches engines by itself."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aioadapt import AdaptiveServer
from aioadapt.control.decide import Verdict
from aioadapt.control.sample import Engine

from .app import EchoApp
from .load import Load
from .options import Options
from .ramp import few, ramp, steps, thresholds
from .report import Record
from .serve import BACKLOG, SERVER_SETTINGS, Side
from .stage import Stage

ENGINES: tuple[Engine, Engine] = ("epoll", "uring")


def make_app() -> EchoApp:
    """Called once on each loop; an instance serves on that loop only."""
    loop: Any = asyncio.get_running_loop()
    return EchoApp(loop.engine, loop)


@asynccontextmanager
async def adapted(options: Options) -> AsyncIterator[Stage]:
    ramps = options.connections, options.seconds, options.rounds
    there, back = ENGINES
    record = Record(moves={f"{there}>{back}": 0, f"{back}>{there}": 0})
    server = AdaptiveServer(
        make_app,
        factory=True,
        port=0,
        thresholds=thresholds(*ramps),
        log_level="warning",
        access_log=False,
        backlog=BACKLOG,
        graceful_s=5.0,
        uvicorn_settings=SERVER_SETTINGS,
    )
    async with server:
        begun_s = time.monotonic()

        def sides() -> Sequence[Side]:
            threads = server.controller.threads
            return [Side(name, threads[name]) for name in ENGINES if name in threads]

        def tally() -> None:
            tally_up(record, server, begun_s)

        async def play(load: Load, stop: asyncio.Event) -> None:
            await ramp(load, steps(*ramps), options.seconds, stop)

        yield Stage(
            server.addresses[0],
            list(ENGINES),
            sides,
            record,
            few(options.connections),
            play,
            tally,
        )


def tally_up(record: Record, server: AdaptiveServer, begun_s: float) -> None:
    """Copy the controller's decisions and their results so far into *record*."""
    stats = server.migrator.stats
    record.moves.update(stats.moves)
    record.returned = stats.returned
    record.left = Counter(stats.left)
    switches = server.controller.switches
    record.pauses_s = [pause_s for switch in switches for pause_s in switch.pauses_s]
    record.last_pauses_s = switches[-1].pauses_s if switches else ()
    decisions = server.controller.decisions
    record.deciding = (
        f"{decisions[-1].verdict.value}: {decisions[-1].reason}" if decisions else ""
    )
    record.decisions = [
        {
            "at_s": round(decision.at_s - begun_s, 3),
            "verdict": decision.verdict.name.lower(),
            "from": decision.active,
            "to": decision.to,
            "reason": decision.reason,
            "otherwise": decision.otherwise,
            "connections": decision.sample.connections,
        }
        for decision in decisions
        if decision.verdict is not Verdict.STAY
    ]

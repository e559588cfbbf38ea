"""The live connections of one loop follow to another, round by round.

A drain asks each connection once and waits for its quiet moment.  In each
round those are asked that are there then, which are the ones that were busy
until the end of the round before, and the ones that came meanwhile: accepted
in the listener's last moment, or on their way here when the engine changed.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aioadapt.errors import LoopStoppedError
from aioadapt.loop_thread import LoopThread
from aioadapt.migration.migrator import Migrator
from aioadapt.migration.reasons import CANCELLED

from .switch import Switch

T = TypeVar("T")

_log = logging.getLogger("aioadapt.control")

# Seconds that a round waits for quiet moments.  1,000 connections under load
# need 0.3 s here, and 2,000 almost all of the first.  What is busy for longer is
# asked less often, since each asking costs the source's loop some microseconds.
ROUND_S = 1.0
LAST_ROUND_S = 5.0
# After a drain in the other direction was called off: what it had let go still
# arrives, a moment after this round has begun.
LATENCY_MODE_ROUND_S = 0.2


class Following:
    """From one switch until nobody is left that could follow, or it is called off."""

    def __init__(
        self,
        migrator: Migrator,
        source: LoopThread,
        target: LoopThread,
        *,
        switch: Switch | None,
        latency_mode: bool,
        on_report: Callable[[Switch], None],
        clock: Callable[[], float],
    ) -> None:
        """
        Args:
            switch: whose result to keep up to date; None for connections that
                nobody knows a switch of.
            on_report: told of it after each round.
        """
        self.switch = switch
        self.asked_once = asyncio.Event()
        self.cancelled = False
        self.ended = False
        self._migrator = migrator
        self._source = source
        self._target = target
        self._latency_mode = latency_mode
        self._on_report = on_report
        self._clock = clock
        # What is waited for: a round, or the rest until the next one.
        self._step: asyncio.Task[Any] | None = None

    def cancel(self) -> None:
        """Those that have not been let go stay; may be called at any time."""
        if not self.ended:
            self.cancelled = True
            if self._step is not None:
                self._step.cancel()

    async def run(self) -> None:
        round_s = LATENCY_MODE_ROUND_S if self._latency_mode else ROUND_S
        try:
            while True:
                ends_at = self._clock() + round_s
                moved = await self._one_round(round_s)
                self.asked_once.set()
                if self.cancelled or not can_follow(self._source):
                    return
                if moved:
                    round_s = ROUND_S
                else:
                    round_s = min(2 * round_s, LAST_ROUND_S)
                    # Where all were refused it ended at once.
                    await self._wait_for(asyncio.sleep(ends_at - self._clock()))
        except LoopStoppedError as error:
            _log.warning("connections stay where they are: %s", error)
        finally:
            self.ended = True
            if self.switch is not None and not self.asked_once.is_set():
                self._on_report(self.switch)
            self.asked_once.set()

    async def _one_round(self, round_s: float) -> int:
        before = self._moved()
        asked_at = self._clock()
        report = await self._wait_for(
            self._migrator.drain(self._source, to=self._target, timeout_s=round_s)
        )
        arrivals_s: tuple[float, ...] = ()
        pauses_s: tuple[float, ...] = ()
        if report is None:
            # What is between the loops still arrives, and is not in this.
            count = self._moved() - before
            left = {CANCELLED: len(self._source.connections)}
        else:
            count, left = report.moved, dict(report.left)
            arrivals_s, pauses_s = report.arrivals_s, report.pauses_s
        if self.switch is not None:
            now = self._clock()
            self.switch = self.switch.with_moves(
                count,
                left=left,
                first_at_s=asked_at + min(arrivals_s) if arrivals_s else now,
                last_at_s=asked_at + max(arrivals_s) if arrivals_s else now,
                pauses_s=pauses_s,
            )
            self._on_report(self.switch)
        return count

    async def _wait_for(self, what: Coroutine[Any, Any, T]) -> T | None:
        """Its result; None if this was called off."""
        if self.cancelled:
            what.close()
            return None
        self._step = step = asyncio.get_running_loop().create_task(what)
        try:
            await asyncio.wait([step])
        finally:
            step.cancel()
        return None if step.cancelled() else step.result()

    def _moved(self) -> int:
        direction = f"{self._source.engine}>{self._target.engine}"
        return self._migrator.stats.moves.get(direction, 0)


def can_follow(thread: LoopThread) -> bool:
    """Whether there is a connection that is not bound to stay where it is."""
    return thread.running and any(not stream.opaque for stream in thread.loop.streams())

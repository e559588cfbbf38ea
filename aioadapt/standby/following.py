"""After a switch: the live connections move to the other loop, in rounds.

A drain asks each connection once and waits for its quiet moment.  Each round
drains the connections that are on the source at that time: those that were busy
until the previous round ended, and those that arrived since.  The latter were
accepted just before the listener paused, or were still in flight to this loop
when the engine changed.
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

# How long a round waits for quiet moments.  1,000 connections under load need
# 0.3 s here, and 2,000 almost the whole first round.  Connections that stay busy
# are asked less and less often, since asking costs the source's loop some
# microseconds each time.
ROUND_S = 1.0
LAST_ROUND_S = 5.0
# The first round after a drain in the other direction was cancelled: connections
# it had already released still arrive, shortly after this round has begun.
LATENCY_MODE_ROUND_S = 0.2


class Following:
    """The moves after one switch, until no movable connection is left or cancelled."""

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
            switch: the switch whose result is kept up to date; None for
                connections that belong to no known switch.
            latency_mode: start with a short round, see ``LATENCY_MODE_ROUND_S``.
            on_report: called with the updated switch after each round.
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
        # The task being waited for: a round, or the pause until the next one.
        self._step: asyncio.Task[Any] | None = None

    def cancel(self) -> None:
        """Stop moving connections; those not yet released stay.

        May be called at any time.
        """
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
                    # If every connection was refused, the round ended early.
                    await self._wait_for(asyncio.sleep(ends_at - self._clock()))
        except LoopStoppedError as error:
            _log.warning("Connections stay where they are: %s", error)
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
            # Cancelled.  Connections in flight still arrive, and are not counted.
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
        """The result of *what*; None if this was cancelled."""
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
    """Whether *thread* has a connection that can move at all."""
    return thread.running and any(not stream.opaque for stream in thread.loop.streams())

"""The controller: watches two loop threads and switches the engine as the load changes.

    each tick    counters of both loops -> Sample -> decide() -> Decision, recorded
    a switch     1. start the standby loop if there is none yet
                 2. route new connections to it
                 3. move live connections, each at its next quiet moment
                 4. move those that were still busy, or accepted just before, later

The controller runs on a loop that is neither of the two, so it can act while
both are busy.  A tick never waits: a switch runs as a task of its own.  So a
storm is detected while a switch is in progress, and the next switch cancels
step 3 of the one before.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, cast

from aioadapt.control.decide import Decision, Rule, Verdict, decide
from aioadapt.control.sample import Engine, Sample, sample_between
from aioadapt.control.thresholds import Thresholds
from aioadapt.loop_thread import LoopThread
from aioadapt.migration.migrator import Migrator
from aioadapt.stats import LoopStats

from . import routing
from .following import Following, can_follow
from .switch import Switch

_log = logging.getLogger("aioadapt.control")

# About a minute of ticks if each has a different reason.  Repeated decisions to
# stay are merged, so in practice the switches of several hours are kept.
KEPT = 256

# Seconds until a revert that failed is tried again: soon, since the storm goes
# on, but not at every tick.
REVERT_RETRY_S = 1.0


class Controller:
    """Switches the engine as the load changes, and moves the connections with it.

    Create it and use it on one loop, which must be neither of the two that
    serve.  It stops no threads: their creator does, after :meth:`run` has ended.
    """

    def __init__(
        self,
        first: LoopThread,
        *,
        standby: Callable[[Engine], Awaitable[LoopThread]],
        migrator: Migrator,
        thresholds: Thresholds | None = None,
        move: bool = True,
        adapting: bool = True,
        on_decision: Callable[[Decision], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            first: a running thread whose server accepts connections.
            standby: starts a thread of the other engine, with a server on the
                same listening socket, and returns it; called when that engine is
                first needed.  If it raises, the switch fails.
            migrator: moves the connections.
            thresholds: None for the defaults of :class:`Thresholds`.
            move: False routes new connections only and moves no live ones.
            adapting: False allows only the safety revert and requested switches.
            on_decision: called with each decision, except with one to stay that
                was made by the same rule as the one before.
            clock: monotonic time in seconds; for tests.
        """
        self.thresholds = thresholds or Thresholds()
        self.adapting = adapting
        self._standby = standby
        self._migrator = migrator
        self._move = move
        self._on_decision = on_decision
        self._clock = clock
        self._active = cast(Engine, first.engine)
        self._threads: dict[Engine, LoopThread] = {self._active: first}

        # Held until new connections are routed, but not while live ones follow.
        self._changing = asyncio.Lock()
        self._following: Following | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

        # Counters by engine, and when they were read; None until the first tick.
        self._counted: tuple[dict[str, LoopStats], float] | None = None
        self._samples: deque[Sample] = deque(
            maxlen=max(self.thresholds.sustain_ticks, self.thresholds.storm_ticks)
        )
        self._decisions: deque[Decision] = deque(maxlen=KEPT)
        # The history for decide().  Requested switches may be many, so they are
        # not stored here: only the newest is kept, in _last_asked.
        self._changes: deque[Decision] = deque(maxlen=KEPT)
        self._last_asked: Decision | None = None
        self._revert_not_before = float("-inf")
        self._switches: deque[Switch] = deque(maxlen=KEPT)

    @property
    def active(self) -> Engine:
        """The engine that accepts new connections."""
        return self._active

    @property
    def threads(self) -> dict[Engine, LoopThread]:
        """The loop threads by engine; the standby is absent until first needed."""
        return dict(self._threads)

    @property
    def decisions(self) -> Sequence[Decision]:
        """The last decisions, newest last.

        Of consecutive decisions to stay by the same rule only the newest is kept.
        """
        return tuple(self._decisions)

    @property
    def switches(self) -> Sequence[Switch]:
        """The last switches, carried out or failed, newest last.

        A switch appears once each of its connections was asked to move, and is
        replaced as more of them do.
        """
        return tuple(self._switches)

    async def run(self) -> None:
        """Tick until cancelled."""
        self._counted = None
        try:
            while True:
                await asyncio.sleep(self.thresholds.tick_s)
                try:
                    self._tick()
                except Exception:
                    _log.exception("Tick failed; continuing with the next one")
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel what is in progress; connections stay where they are.

        :meth:`run` calls it when it ends.
        """
        self._cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def switch(
        self, to: Engine, *, reason: str = "switch() was called"
    ) -> Switch:
        """Switch the engine now, whatever the load.

        Returns when every connection was asked once to move and those that had a
        quiet moment have moved; the others are still asked in the background.
        The cooldown starts again, so that the load does not switch it straight
        back.

        Args:
            to: the engine to switch to; if it is active already, nothing changes.
            reason: recorded with the decision and logged.

        Returns:
            The outcome.  If it failed, ``failed`` says why and nothing changed.
        """
        now = self._clock()
        sample = self._samples[-1] if self._samples else Sample(now, 0.0, 0)
        decision = Decision(
            now, self._active, Verdict.ASKED, to, Rule.ASKED, reason,
            "switch() had not been called", sample, self.thresholds,
        )  # fmt: skip
        self._record(decision)
        return await self._carry_out(decision)

    # -- one tick

    def _tick(self) -> None:
        now = self._clock()
        counted = self._counters()
        before, self._counted = self._counted, (counted, now)
        if before is None:
            return
        sample = sample_between(
            before[0],
            counted,
            at_s=now,
            seconds=now - before[1],
            active=self._active,
        )
        self._samples.append(sample)
        if self._changing.locked():
            # A switch is being carried out already.
            return
        decision = decide(
            self._samples,
            list(self._history()),
            now,
            active=self._active,
            thresholds=self.thresholds,
            adapting=self.adapting,
        )
        if decision.verdict is Verdict.STAY:
            self._record(decision)
            self._tidy_up(counted)
        elif decision.verdict is not Verdict.REVERT or now >= self._revert_not_before:
            self._begin(self._carry_out(decision))
            self._record(decision)

    def _counters(self) -> dict[str, LoopStats]:
        return {
            engine: thread.loop.stats()
            for engine, thread in self._threads.items()
            if thread.running
        }

    def _history(self) -> Iterator[Decision]:
        """All changes in order of time, with the newest requested one merged in."""
        asked = self._last_asked
        for decision in self._changes:
            if asked is not None and asked.at_s <= decision.at_s:
                yield asked
                asked = None
            yield decision
        if asked is not None:
            yield asked

    def _record(self, decision: Decision) -> None:
        repeated = False
        if decision.verdict is Verdict.ASKED:
            self._last_asked = decision
        elif decision.verdict is not Verdict.STAY:
            self._changes.append(decision)
        elif self._decisions:
            last = self._decisions[-1]
            repeated = (last.verdict, last.rule, last.active) == (
                decision.verdict,
                decision.rule,
                decision.active,
            )
        if repeated:
            self._decisions[-1] = decision
            return
        self._decisions.append(decision)
        if self._on_decision is not None:
            try:
                self._on_decision(decision)
            except Exception:
                _log.exception("on_decision raised; carrying out the decision anyway")

    def _tidy_up(self, counted: dict[str, LoopStats]) -> None:
        """Route listeners that were added since, and move connections left behind."""
        active = self._threads[self._active]
        others = [t for e, t in self._threads.items() if e != self._active]
        if routing.astray(active, others):
            self._begin(self._route(active, others))
        if self._following is not None and not self._following.ended:
            return
        for engine, thread in self._threads.items():
            if engine == self._active or engine not in counted or not self._move:
                continue
            if counted[engine].connections and can_follow(thread):
                self._follow(thread, active, None)

    async def _route(self, to: LoopThread, others: list[LoopThread]) -> None:
        async with self._changing:
            if to is self._threads[self._active]:
                await routing.route(to, away_from=others)

    # -- a switch

    async def _carry_out(self, decision: Decision) -> Switch:
        async with self._changing:
            source = self._active
            switch = Switch(
                decision, decision.at_s, source, decision.to, decision.reason,
                connections=self._connections(source),
            )  # fmt: skip
            if decision.to == source:
                return switch
            _log.info(
                "Switching from %s to %s: %s", source, decision.to, decision.reason
            )
            try:
                target = await self._thread_of(decision.to)
                # An earlier switch may still be moving connections the other way.
                self._cancel()
                await routing.route(target, away_from=[self._threads[source]])
            except Exception as error:
                switch = switch.with_failure(f"{type(error).__name__}: {error}")
                if decision.verdict is Verdict.REVERT:
                    self._revert_not_before = self._clock() + REVERT_RETRY_S
                _log.warning(
                    "Switch from %s to %s failed, nothing changed: %s",
                    source,
                    decision.to,
                    switch.failed,
                )
                self._switches.append(switch)
                return switch
            self._active = decision.to
            old = self._threads[source]
            # Before the lock is released: another switch may be waiting for it.
            following = self._follow(old, target, switch) if self._move else None
        if following is None:
            self._keep(switch)
            return switch
        await following.asked_once.wait()
        switch = following.switch or switch
        _log.info(
            "Switched from %s to %s: %d of %d connections moved",
            switch.source,
            switch.to,
            switch.moved,
            switch.connections,
        )
        return switch

    async def _thread_of(self, engine: Engine) -> LoopThread:
        thread = self._threads.get(engine)
        if thread is None or not thread.running:
            thread = self._threads[engine] = await self._standby(engine)
        return thread

    def _connections(self, engine: Engine) -> int:
        thread = self._threads[engine]
        return len(thread.loop.streams()) if thread.running else 0

    def _follow(
        self, source: LoopThread, target: LoopThread, switch: Switch | None
    ) -> Following:
        cancelled = self._following is not None and self._following.cancelled
        self._following = following = Following(
            self._migrator,
            source,
            target,
            switch=switch,
            latency_mode=cancelled,
            on_report=self._keep,
            clock=self._clock,
        )
        self._begin(following.run())
        return following

    def _cancel(self) -> None:
        if self._following is not None:
            self._following.cancel()

    def _keep(self, switch: Switch) -> None:
        """Append *switch*, or replace its own earlier state."""
        for index, kept in enumerate(self._switches):
            if kept.decision is switch.decision:
                self._switches[index] = switch
                return
        self._switches.append(switch)

    def _begin(self, what: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("A switch failed; continuing with the next tick", exc_info=error)

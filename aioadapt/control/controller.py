"""Watches two loop threads, decides, routes new connections, brings live ones along.

    every tick   counters of both loops -> Sample -> decide() -> Decision, recorded
    a switch     1. the standby loop is made, if there is none yet
                 2. new connections go there
                 3. live connections follow, each at its next quiet moment
                 4. those that were busy, or accepted in the last moment, later

The controller runs on a loop that is neither of the two, so that it can act
while both are busy.  It waits for nothing inside a tick: a switch is a task of
its own, so a storm is seen while a switch is going on, and step 3 of a switch
is called off by the next one.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, cast

from aioadapt.loop_thread import LoopThread
from aioadapt.migration.migrator import Migrator
from aioadapt.stats import LoopStats

from . import routing
from .decide import Decision, Rule, Verdict, decide
from .following import Following, can_follow
from .sample import Engine, Sample, sample_between
from .switch import Switch
from .thresholds import Thresholds

_log = logging.getLogger("aioadapt.control")

# About a minute of ticks where each one has another reason; what is kept of
# hours is those that changed the engine.
KEPT = 256

# A revert that could not be carried out is tried again after so many seconds:
# soon, since the storm goes on, but not at every tick.
REVERT_RETRY_S = 1.0


class Controller:
    """Lets the engine follow the load, and the connections the engine.

    To be made and used on one loop, which is neither of the two.  It stops no
    thread: whoever has made them does, after :meth:`run` has ended.
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
            first: a running thread with its server, which accepts.
            standby: makes the running thread of the other engine, with its
                server on the same listening socket; called when it is first
                needed.  What it raises makes that switch a failed one.
            migrator: brings the connections along.
            thresholds: default: those of :class:`Thresholds`.
            move: False routes new connections only.
            adapting: False leaves nothing but the revert in a storm.
            on_decision: told of each decision, except of one to stay that is
                made by the same rule as the one before.
            clock: in seconds; for tests.
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

        # Until new connections are routed; not while live ones follow.
        self._changing = asyncio.Lock()
        self._following: Following | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

        # By engine, and when; None until the first tick.
        self._counted: tuple[dict[str, LoopStats], float] | None = None
        self._samples: deque[Sample] = deque(
            maxlen=max(self.thresholds.sustain_ticks, self.thresholds.storm_ticks)
        )
        self._decisions: deque[Decision] = deque(maxlen=KEPT)
        # What decide() is to know of the past; forced ones may be many.
        self._changes: deque[Decision] = deque(maxlen=KEPT)
        self._last_asked: Decision | None = None
        self._revert_not_before = float("-inf")
        self._switches: deque[Switch] = deque(maxlen=KEPT)

    @property
    def active(self) -> Engine:
        """The engine that takes new connections."""
        return self._active

    @property
    def threads(self) -> dict[Engine, LoopThread]:
        """The threads there are; the standby once it was needed."""
        return dict(self._threads)

    @property
    def decisions(self) -> Sequence[Decision]:
        """The last ones, newest last; of those to stay in a row by one rule the newest."""
        return tuple(self._decisions)

    @property
    def switches(self) -> Sequence[Switch]:
        """The last ones that were carried out, or failed, newest last.

        A switch is here once its connections were first asked to follow, and
        is replaced when more of them have.
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
                    _log.exception("a tick failed; the next one comes as usual")
        finally:
            await self.close()

    async def close(self) -> None:
        """End what is under way; connections stay where they are.  run() does it."""
        self._cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def switch(self, to: Engine, *, reason: str = "asked for") -> Switch:
        """Change the engine now, whatever the load is.

        Ends when every connection was asked once to follow and those that had
        a quiet moment have; the others go on being asked.  The cool-down
        begins anew, so that the load does not change it back at once.

        Returns:
            What came of it.  ``failed`` tells why it could not be done; then
            all is served where it was.
        """
        now = self._clock()
        sample = self._samples[-1] if self._samples else Sample(now, 0.0, 0)
        decision = Decision(
            now, self._active, Verdict.ASKED, to, Rule.ASKED, reason,
            "nobody asking", sample, self.thresholds,
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
            # What would be decided now is being done, or undone, already.
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
        """In the order of time: the newest that was asked for is among the others."""
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
                _log.exception("on_decision failed; the decision is carried out")

    def _tidy_up(self, counted: dict[str, LoopStats]) -> None:
        """Listeners that were added meanwhile, connections that were left behind."""
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
            _log.info("%s > %s: %s", source, decision.to, decision.reason)
            try:
                target = await self._thread_of(decision.to)
                # Nobody is to go on leaving for where all are to come from.
                self._cancel()
                await routing.route(target, away_from=[self._threads[source]])
            except Exception as error:
                switch = switch.with_failure(f"{type(error).__name__}: {error}")
                if decision.verdict is Verdict.REVERT:
                    self._revert_not_before = self._clock() + REVERT_RETRY_S
                _log.warning(
                    "%s > %s failed, all is served where it was: %s",
                    source,
                    decision.to,
                    switch.failed,
                )
                self._switches.append(switch)
                return switch
            self._active = decision.to
            old = self._threads[source]
            # Another switch may have waited for this one, and be next.
            following = self._follow(old, target, switch) if self._move else None
        if following is None:
            self._keep(switch)
            return switch
        await following.asked_once.wait()
        switch = following.switch or switch
        _log.info(
            "%s > %s: %d of %d connections followed",
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
        """Newly, or in the place of an earlier state of the same."""
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
            _log.error("a switch went wrong; the next tick goes on", exc_info=error)

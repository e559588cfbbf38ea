"""The controller of an adaptive loop: it looks at the loop from inside, and has no timer.

    an iteration ends, and a tick has passed
        counters -> Sample -> decide() -> Decision, recorded; a switch is carried out

So a loop that sleeps is not woken for it, and "within two seconds" means seconds in
which the loop runs.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .decide import Decision, Rule, Verdict, decide
from .sample import Engine, Sample, sample_between
from .thresholds import Thresholds

if TYPE_CHECKING:
    from aioadapt.stats import LoopStats

_log = logging.getLogger("aioadapt.control")

# Of decisions to stay by the same rule only the newest is kept, so in practice the
# switches of several hours are.
KEPT = 256


class LoopController:
    """Decides for one loop, on the loop's thread; it does not know the loop."""

    def __init__(
        self,
        *,
        thresholds: Thresholds,
        adapting: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            thresholds: the numbers to decide with.
            adapting: False allows only the safety revert and requested switches.
            clock: monotonic time in seconds; for tests.
        """
        self.thresholds = thresholds
        self.adapting = adapting
        self._clock = clock
        self._before: tuple[LoopStats, float] | None = None
        self._samples: deque[Sample] = deque(
            maxlen=max(thresholds.sustain_ticks, thresholds.storm_ticks)
        )
        self._decisions: deque[Decision] = deque(maxlen=KEPT)

    @property
    def decisions(self) -> Sequence[Decision]:
        """The last decisions, newest last."""
        return tuple(self._decisions)

    def look(self, active: Engine, counted: "LoopStats") -> Engine:
        """One tick: which engine the loop should prefer, by what it has counted."""
        now = self._clock()
        before, self._before = self._before, (counted, now)
        if before is None:
            return active
        self._samples.append(
            sample_between(
                {active: before[0]},
                {active: counted},
                at_s=now,
                seconds=now - before[1],
                active=active,
            )
        )
        decision = decide(
            self._samples,
            self._decisions,
            now,
            active=active,
            thresholds=self.thresholds,
            adapting=self.adapting,
        )
        self._record(decision)
        if decision.verdict is not Verdict.STAY:
            _log.info(
                "Switching from %s to %s: %s", active, decision.to, decision.reason
            )
        return decision.to

    def asked(self, active: Engine, to: Engine, reason: str) -> None:
        """Somebody has made the loop prefer *to*: the cooldown begins again."""
        now = self._clock()
        sample = self._samples[-1] if self._samples else Sample(now, 0.0, 0)
        decision = Decision(
            now, active, Verdict.ASKED, to, Rule.ASKED, reason,
            "it had not been asked for", sample, self.thresholds,
        )  # fmt: skip
        self._record(decision)

    def _record(self, decision: Decision) -> None:
        last = self._decisions[-1] if self._decisions else None
        if (
            last is not None
            and last.verdict is decision.verdict is Verdict.STAY
            and (last.rule, last.active) == (decision.rule, decision.active)
        ):
            self._decisions[-1] = decision
        else:
            self._decisions.append(decision)

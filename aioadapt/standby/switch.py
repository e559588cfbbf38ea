"""The outcome of one switch of the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from aioadapt.control.decide import Decision
from aioadapt.control.sample import Engine


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch of the engine, carried out or failed.

    Attributes:
        decision: the decision that started it.
        at_s: when that was decided, on the controller's clock.
        source: the engine switched from.
        to: the engine switched to.
        reason: the decision's reason.
        connections: how many *source* had when the switch began.
        moved: how many have moved so far.
        left: how many have not, by reason, when they were last asked.
        first_moved_s: seconds from the decision until the first connection was
            served on the other engine; None if none has moved.
        last_moved_s: the same for the last connection.
        pauses_s: for each moved connection, how long nothing read from it.
        failed: why the switch failed and nothing changed; "" if it did not.
    """

    decision: Decision | None
    at_s: float
    source: Engine
    to: Engine
    reason: str
    connections: int
    moved: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    first_moved_s: float | None = None
    last_moved_s: float | None = None
    pauses_s: tuple[float, ...] = ()
    failed: str = ""

    def with_failure(self, failed: str) -> "Switch":
        return replace(self, failed=failed)

    def with_moves(
        self,
        count: int,
        *,
        left: Mapping[str, int],
        first_at_s: float,
        last_at_s: float,
        pauses_s: tuple[float, ...],
    ) -> "Switch":
        """A copy with *count* more moves; the times are on the controller's clock."""
        if not count:
            return replace(self, left=dict(left))
        first = self.first_moved_s
        return replace(
            self,
            moved=self.moved + count,
            left=dict(left),
            first_moved_s=first_at_s - self.at_s if first is None else first,
            last_moved_s=last_at_s - self.at_s,
            pauses_s=self.pauses_s + pauses_s,
        )

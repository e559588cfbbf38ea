"""What became of one change of the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .decide import Decision
from .sample import Engine


@dataclass(frozen=True, slots=True)
class Switch:
    """One change of the engine that was carried out, or failed.

    Attributes:
        decision: what it was begun for.
        at_s: when that was decided, on the controller's clock.
        connections: that lived on the engine *source* when it began.
        moved: how many followed, until now.
        left: how many have not, by reason, when they were last asked.
        first_moved_s: from the decision until the first one was served on the
            other engine; None if none followed.
        last_moved_s: the same of the last one.
        pauses_s: how long each of those that followed was read by nobody.
        failed: why new connections could not be routed, and all stayed as it
            was; "" if they were.
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
        """And *count* connections more; the times are on the controller's clock."""
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

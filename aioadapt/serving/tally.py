"""Counts all decisions and switches, of which the controller keeps only the last."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aioadapt import Decision, Switch


@dataclass(frozen=True, slots=True)
class Counts:
    """Decisions by verdict name, switches by direction (``epoll>uring``)."""

    verdicts: Mapping[str, int]
    switched: Mapping[str, int]


class Tally:
    """Running totals; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._verdicts: Counter[str] = Counter()
        self._switched: Counter[str] = Counter()
        self._counted: set[float] = set()

    def decided(self, decision: Decision) -> None:
        with self._lock:
            self._verdicts[decision.verdict.name.lower()] += 1

    def counts(self, switches: Iterable[Switch]) -> Counts:
        """The counts, after adding those of *switches* that are new.

        Call it often enough to see each switch before the controller drops it.
        """
        with self._lock:
            # A switch is replaced as more connections move, but keeps its time.
            seen = {switch.at_s: switch for switch in switches}
            for at_s, switch in seen.items():
                if at_s not in self._counted and not switch.failed:
                    self._switched[f"{switch.source}>{switch.to}"] += 1
            self._counted = set(seen)
            return Counts(dict(self._verdicts), dict(self._switched))

"""How many decisions and switches there were: the controller keeps the last ones only."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aioadapt import Decision, Switch


@dataclass(frozen=True, slots=True)
class Counts:
    """Decisions by the verdict's name, switches by direction (``epoll>uring``)."""

    verdicts: Mapping[str, int]
    switched: Mapping[str, int]


class Tally:
    """Counts for ever what is kept for a while; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._verdicts: Counter[str] = Counter()
        self._switched: Counter[str] = Counter()
        self._counted: set[float] = set()

    def decided(self, decision: Decision) -> None:
        with self._lock:
            self._verdicts[decision.verdict.name.lower()] += 1

    def counts(self, switches: Iterable[Switch]) -> Counts:
        """The counts, with those of *switches* that were not seen before.

        To be called at least as often as the controller forgets a switch.
        """
        with self._lock:
            # A kept switch is replaced as more connections follow; its time stays.
            seen = {switch.at_s: switch for switch in switches}
            for at_s, switch in seen.items():
                if at_s not in self._counted and not switch.failed:
                    self._switched[f"{switch.source}>{switch.to}"] += 1
            self._counted = set(seen)
            return Counts(dict(self._verdicts), dict(self._switched))

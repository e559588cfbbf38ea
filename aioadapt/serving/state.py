"""What a server is doing at one moment, for people and for machines.

The server fills a :class:`ServerState` in; the admin address shows it as JSON
and as metrics; ``aioadapt top`` and ``aioadapt why`` read the JSON.
"""

import enum
import math
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from aioadapt import LoopStats, MigratorStats, Pauses

if TYPE_CHECKING:
    from aioadapt.control.decide import Decision
    from aioadapt.control.start import Start
    from aioadapt.control.switch import Switch

# Of the JSON: it grows by one when a field goes or changes its meaning.
FORMAT = 1

KEPT_IN_JSON = 32

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EngineState:
    """One loop thread.  A standby that was never needed has none."""

    engine: str
    active: bool
    """Does it accept the new connections?"""
    running: bool
    stats: LoopStats


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server at one moment; ``started_at`` and ``now`` are Unix times."""

    pid: int
    app: str
    addresses: list[str]
    started_at: float
    now: float
    python: str
    adapting: bool
    migrating: bool
    start: "Start"
    active: str
    engines: list[EngineState]
    migrator: MigratorStats
    decisions: "Sequence[Decision]" = ()
    """The last ones, the newest last."""
    switches: "Sequence[Switch]" = ()
    verdicts: Mapping[str, int] = field(default_factory=dict)
    """How many decisions of each verdict there were, by its name in lower case."""
    switched: Mapping[str, int] = field(default_factory=dict)
    """How many switches there were, by direction, as in ``{"epoll>uring": 3}``."""
    clock_s: float = field(default_factory=time.monotonic)
    """At ``now``, the reading of the clock by which decisions have their ``at_s``."""


def python_in_words() -> str:
    """``CPython 3.13.1 with the GIL``: it decides what a second loop thread is worth."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    threads = "with the GIL" if gil else "free-threaded"
    return f"{platform.python_implementation()} {platform.python_version()} {threads}"


def to_json(state: ServerState, *, last: int = KEPT_IN_JSON) -> dict[str, Any]:
    """*state* as what :mod:`json` can write.

    The fields are those of the dataclasses, under their names.  An enum is its
    name in lower case.  Each decision and switch also has ``at``, its Unix
    time.  A switch has percentiles for its pauses, and of its decision only the
    verdict: there may be thousands of pauses, and the answer has to be cheap.

    Args:
        last: so many decisions and switches, the newest.
    """
    plain: dict[str, Any] = {"format": FORMAT}
    for entry in fields(state):
        if entry.name not in ("decisions", "switches"):
            plain[entry.name] = as_plain(getattr(state, entry.name))

    def unix_time(at_s: float) -> float:
        return round(state.now - (state.clock_s - at_s), 3)

    plain["decisions"] = [
        {"at": unix_time(decision.at_s), **as_plain(decision)}
        for decision in _newest(state.decisions, last)
    ]
    plain["switches"] = [
        {
            "at": unix_time(switch.at_s),
            **as_plain(replace(switch, decision=None, pauses_s=())),
            "decision": switch.decision and as_plain(switch.decision.verdict),
            "pauses_s": Pauses.of(switch.pauses_s)._asdict(),
        }
        for switch in _newest(state.switches, last)
    ]
    return plain


def _newest(records: Sequence[_T], count: int) -> Sequence[_T]:
    return records[max(0, len(records) - count) :]


def as_plain(value: Any) -> Any:
    """Dataclasses as dicts, enums as names, sequences as lists; all the way down.

    What is not finite has no JSON and becomes None.
    """
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(as_plain(key)): as_plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [as_plain(entry) for entry in value]
    return str(value)

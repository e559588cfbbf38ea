"""The state of a server at one moment.

The server creates a :class:`ServerState`; the admin address serves it as JSON and
as metrics; ``aioadapt top`` and ``aioadapt why`` read the JSON.
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
    from aioadapt.standby.switch import Switch

# The version of the JSON, incremented when a field is removed or changes its meaning.
FORMAT = 1

KEPT_IN_JSON = 32

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EngineState:
    """One loop thread.  There is none for a standby that was never needed."""

    engine: str
    active: bool
    """Whether it accepts new connections."""
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
    """The last decisions, newest last."""
    switches: "Sequence[Switch]" = ()
    """The last switches, newest last."""
    verdicts: Mapping[str, int] = field(default_factory=dict)
    """The number of decisions by verdict, named in lower case."""
    switched: Mapping[str, int] = field(default_factory=dict)
    """The number of switches by direction, such as ``{"epoll>uring": 3}``."""
    clock_s: float = field(default_factory=time.monotonic)
    """The reading at ``now`` of the clock that ``at_s`` of decisions refers to."""


def python_in_words() -> str:
    """``CPython 3.13.1 with the GIL``; the GIL limits the use of a second loop thread."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    threads = "with the GIL" if gil else "free-threaded"
    return f"{platform.python_implementation()} {platform.python_version()} {threads}"


def to_json(state: ServerState, *, last: int = KEPT_IN_JSON) -> dict[str, Any]:
    """*state* as plain values that :mod:`json` can write.

    The fields are those of the dataclasses, under their names.  An enum is its name
    in lower case.  Each decision and switch also has ``at``, its Unix time.  A
    switch has percentiles of its pauses instead of all of them, and only the
    verdict of its decision: there may be thousands of pauses, and the response has
    to be cheap.

    Args:
        last: maximum number of decisions and of switches, the newest.
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
    """Convert recursively: dataclasses to dicts, enums to names, sequences to lists.

    A float that is not finite cannot be represented in JSON and becomes None.
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

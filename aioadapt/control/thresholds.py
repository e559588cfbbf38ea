"""The numbers that decisions are made with, and how each of them was chosen."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from aioadapt.errors import ThresholdsError

#: Seconds within which a storm must have brought the live connections back.
REVERTED_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When to change the engine; the defaults hold where nothing was calibrated.

    ``aioadapt calibrate`` measures the ones that depend on the machine
    (``up_connections``, ``down_connections``, ``snap_connections`` and
    ``large_payload_bytes``) and stores them.

    Attributes:
        tick_s: seconds between two looks at the counters.
        up_connections: from here on io_uring is better; None if it never is.
        down_connections: up to here epoll is better.  Below ``up_connections``,
            so that a load between the two changes nothing.
        snap_connections: so many need not be sustained: a burst has come.
        sustain_ticks: for so many ticks in a row the load must ask for a switch.
        cooldown_s: no switch within so many seconds of the one before.
        lock_switches: so many switches within ``lock_window_s`` ...
        lock_window_s: ... are an oscillation ...
        lock_s: ... after which there is none for so many seconds.
        large_payload_bytes: from so many bytes per request on, both directions
            together, the engines tie and nothing is switched.
        quiet_events_per_s: below it hardly anything happens, and nothing is
            switched.
        storm_ticks: so many bad ticks in a row bring everything back to epoll.
        storm_count: fewer errors, ENOBUFS or overflows in a tick are no storm,
            whatever their share is.
        error_share: failed receives, sends and accepts, of these and the
            answered requests together, from which a tick is bad.
        enobufs_share: receives that found no buffer, of all completions.
        cq_overflow_share: completion queue overflows, of all turns.
        revert_lock_s: so many seconds after a storm it does not go up again.

    Raises:
        ThresholdsError: a number makes no sense; the message names the field.
    """

    # A storm is seen within three of them, and then 1,000 connections under load
    # need 0.3 s to come back: measured here, 0.7 to 0.9 s in all.  A tick costs
    # 0.2 ms here, so that four of them in a second are 0.1 % of a core.
    tick_s: float = 0.25
    # `aioadapt calibrate` on two cores of an AMD EPYC, Linux 6.18, CPython 3.11,
    # uvicorn, answers of 128 bytes: io_uring saves nothing that is larger than
    # the spread at 32 and 64 connections, 9 % of the server's CPU at 128, 14 %
    # at 256, 17 % at 512 and 28 % at 1,024.
    up_connections: int | None = 128
    down_connections: int = 64
    # Twice its up, as celeris; a guess.
    snap_connections: int = 256
    # 0.75 s: longer than a browser's burst of connections takes to open.  A guess.
    sustain_ticks: int = 3
    # celeris waits 30 s.  Bringing 1,000 connections along takes 0.3 s here, of
    # which this is thirty times as much: the switches themselves cost little.
    cooldown_s: float = 10.0
    # As celeris: three in five minutes lock for five minutes.
    lock_switches: int = 3
    lock_window_s: float = 300.0
    lock_s: float = 300.0
    # The same sweep: at 8 KiB io_uring saves as much as at 128 bytes, at 64 KiB
    # nothing that is larger than the spread.
    large_payload_bytes: int = 65_536
    # A core serves some ten thousand events a second: below 1 % of that either
    # engine sleeps most of the time.
    quiet_events_per_s: float = 100.0
    storm_ticks: int = 2
    # A few failures in a tick are a few clients; 20 in each of two ticks are 80
    # a second at least.
    storm_count: int = 20
    # As celeris.
    error_share: float = 0.05
    # A receive without a buffer loses nothing and is begun again an iteration later: an
    # ordinary event.  While 1,024 saturated connections came over from epoll it
    # was seen to be 31 % of all completions for half a second, and was no storm.
    # Where three completions in four bring nothing, the ring is going round in
    # circles.
    enobufs_share: float = 0.75
    # Each overflow costs a system call more and loses nothing.  One in ten
    # turns: the queue is too small for this load at all times, not in a burst.
    cq_overflow_share: float = 0.1
    # As long as the oscillation lock: what caused the storm is given the time to pass.
    revert_lock_s: float = 300.0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))
        if self.up_connections is not None:
            if self.down_connections >= self.up_connections:
                raise ThresholdsError(
                    f"down_connections is {self.down_connections} and must be less "
                    f"than up_connections, which is {self.up_connections}"
                )
            if self.snap_connections < self.up_connections:
                raise ThresholdsError(
                    f"snap_connections is {self.snap_connections} and must not be "
                    f"less than up_connections, which is {self.up_connections}"
                )
        if self.tick_s * (self.storm_ticks + 1) > REVERTED_WITHIN_S / 2:
            raise ThresholdsError(
                f"tick_s is {self.tick_s:g} and storm_ticks {self.storm_ticks}: a storm "
                f"is seen within one tick more than storm_ticks, and that must not take "
                f"more than {REVERTED_WITHIN_S / 2:g} s, so that live connections are "
                f"back on epoll within {REVERTED_WITHIN_S:g} s"
            )

    def to_json(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """The reverse of :meth:`to_json`; what is not there has its default.

        Args:
            values: a mapping, or JSON text of one.

        Raises:
            ThresholdsError: the message names the field that is unknown or wrong.
        """
        if isinstance(values, str | bytes):
            try:
                values = json.loads(values)
            except ValueError as error:
                raise ThresholdsError(f"thresholds are not JSON: {error}") from error
        if not isinstance(values, Mapping):
            raise ThresholdsError(
                f"thresholds are an object of fields by name, not {values!r}"
            )
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise ThresholdsError(
                    f"there is no threshold {name!r}; known: {', '.join(sorted(known))}"
                )
        return cls(**values)


# Where a number must be whole; the others may have a fraction.
_WHOLE = {
    "up_connections",
    "down_connections",
    "snap_connections",
    "sustain_ticks",
    "lock_switches",
    "large_payload_bytes",
    "storm_ticks",
    "storm_count",
}
_SHARES = {"error_share", "enobufs_share", "cq_overflow_share"}
# None of the time, none of the load: where 0 makes sense.
_MAY_BE_ZERO = {
    "down_connections",
    "cooldown_s",
    "lock_s",
    "revert_lock_s",
    "quiet_events_per_s",
}


def _check(name: str, value: object) -> None:
    if name == "up_connections" and value is None:
        return
    kind = "a whole number" if name in _WHOLE else "a number"
    right: tuple[type, ...] = (int,) if name in _WHOLE else (int, float)
    if isinstance(value, bool) or not isinstance(value, right):
        raise ThresholdsError(f"{name} must be {kind}, not {value!r}")
    assert isinstance(value, int | float)
    least = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
    if not math.isfinite(value) or value < 0 or (value == 0 and least != "0 or more"):
        raise ThresholdsError(f"{name} must be {least}, not {value!r}")
    if name in _SHARES and value > 1:
        raise ThresholdsError(f"{name} is a share, from 0 to 1, not {value!r}")

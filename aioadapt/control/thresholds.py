"""The thresholds: the numbers behind each decision, and how each was chosen."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from aioadapt.errors import ThresholdsError

#: Seconds from the start of a storm until live connections must be back on epoll.
REVERTED_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When to switch the engine; the defaults apply where nothing was calibrated.

    ``aioadapt calibrate`` measures the ones that depend on the machine
    (``up_connections``, ``down_connections``, ``snap_connections`` and
    ``large_payload_bytes``) and stores them.

    Attributes:
        tick_s: seconds between two readings of the counters.
        up_connections: number of connections from which io_uring is better; None
            if it never is.
        down_connections: number of connections up to which epoll is better.  Less
            than ``up_connections``, so that a load between the two changes nothing.
        snap_connections: number of connections that counts as a burst, and
            switches immediately.
        sustain_ticks: ticks in a row for which the load must call for a switch.
        cooldown_s: minimum number of seconds between two switches.
        lock_switches: number of switches within ``lock_window_s`` that counts as an
            oscillation.
        lock_window_s: seconds within which switches count as an oscillation.
        lock_s: seconds without switches after an oscillation.
        large_payload_bytes: bytes per request, in both directions together, from
            which the engines perform alike and nothing is switched.
        quiet_events_per_s: events per second below which there is too little
            traffic to judge, and nothing is switched.
        storm_ticks: bad ticks in a row that trigger the safety revert to epoll.
        storm_count: errors, ENOBUFS or overflows that a tick needs at least to be
            bad, whatever their share.
        error_share: share of failed receives, sends and accepts, among these and
            the answered requests together, that makes a tick bad.
        enobufs_share: share of receives that found no buffer, among all
            completions, that makes a tick bad.
        cq_overflow_share: share of completion queue overflows, per iteration, that
            makes a tick bad.
        revert_lock_s: seconds after a storm before io_uring is tried again.

    Raises:
        ThresholdsError: a number is invalid; the message names the field.
    """

    # A storm is detected within three ticks, and then 1,000 connections under load
    # need 0.3 s to come back: measured here, 0.7 to 0.9 s in all.  A tick costs
    # 0.2 ms here, so four of them a second are 0.1 % of a core.
    tick_s: float = 0.25
    # Measured with `aioadapt calibrate` on two cores of an AMD EPYC, Linux 6.18,
    # CPython 3.11, uvicorn, responses of 128 bytes: at 32 and 64 connections
    # io_uring saves no more than the spread; at 128 it saves 9 % of the server's
    # CPU, at 256 14 %, at 512 17 % and at 1,024 28 %.
    up_connections: int | None = 128
    down_connections: int = 64
    # Twice up_connections, as in celeris; a guess.
    snap_connections: int = 256
    # 0.75 s: longer than a browser takes to open its burst of connections.  A guess.
    sustain_ticks: int = 3
    # celeris waits 30 s.  Moving 1,000 connections takes 0.3 s here, a thirtieth of
    # this value: the switches themselves cost little.
    cooldown_s: float = 10.0
    # As in celeris: three switches in five minutes lock for five minutes.
    lock_switches: int = 3
    lock_window_s: float = 300.0
    lock_s: float = 300.0
    # The same measurement: at 8 KiB io_uring saves as much as at 128 bytes, at
    # 64 KiB no more than the spread.
    large_payload_bytes: int = 65_536
    # A core serves some ten thousand events a second; below 1 % of that either
    # engine sleeps most of the time.
    quiet_events_per_s: float = 100.0
    storm_ticks: int = 2
    # A few failures in a tick come from a few clients; 20 in each of two ticks are
    # at least 80 a second.
    storm_count: int = 20
    # As in celeris.
    error_share: float = 0.05
    # A receive without a buffer loses nothing and is started again one iteration
    # later: an ordinary event.  While 1,024 saturated connections came over from
    # epoll, such receives were 31 % of all completions for half a second, without
    # being a storm.  If three completions in four bring nothing, the ring only
    # keeps itself busy.
    enobufs_share: float = 0.75
    # Each overflow costs one more system call and loses nothing.  One in ten
    # iterations means that the queue is permanently too small for this load, not
    # only in a burst.
    cq_overflow_share: float = 0.1
    # As long as the oscillation lock, to give the cause of the storm time to pass.
    revert_lock_s: float = 300.0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))
        if self.up_connections is not None:
            if self.down_connections >= self.up_connections:
                raise ThresholdsError(
                    f"down_connections ({self.down_connections}) must be less than "
                    f"up_connections ({self.up_connections})"
                )
            if self.snap_connections < self.up_connections:
                raise ThresholdsError(
                    f"snap_connections ({self.snap_connections}) must not be less than "
                    f"up_connections ({self.up_connections})"
                )
        if self.tick_s * (self.storm_ticks + 1) > REVERTED_WITHIN_S / 2:
            raise ThresholdsError(
                f"tick_s ({self.tick_s:g}) times storm_ticks + 1 "
                f"({self.storm_ticks + 1}) must not exceed {REVERTED_WITHIN_S / 2:g} s: "
                f"detecting a storm takes that long, and live connections must be "
                f"back on epoll within {REVERTED_WITHIN_S:g} s"
            )

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """The reverse of :meth:`to_json`; missing fields get their defaults.

        Args:
            values: a mapping, or JSON text that contains one.

        Raises:
            ThresholdsError: the message names the field that is unknown or wrong.
        """
        if isinstance(values, str | bytes):
            try:
                values = json.loads(values)
            except ValueError as error:
                raise ThresholdsError(
                    f"thresholds are not valid JSON: {error}"
                ) from error
        if not isinstance(values, Mapping):
            raise ThresholdsError(
                f"thresholds must be a JSON object or a mapping, not {values!r}"
            )
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise ThresholdsError(
                    f"unknown threshold {name!r}; known: {', '.join(sorted(known))}"
                )
        return cls(**values)


# Fields that must be whole numbers; the others may have a fraction.
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
# Fields for which 0 makes sense.
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
        raise ThresholdsError(f"{name} must be a share from 0 to 1, not {value!r}")

"""Short ways to write samples and histories."""

from collections.abc import Sequence
from dataclasses import replace

from aioadapt.control.decide import Decision, Rule, Verdict, decide
from aioadapt.control.sample import Engine, Sample
from aioadapt.control.thresholds import Thresholds

# Round numbers, none of them a default.
T = Thresholds(
    tick_s=0.25,
    up_connections=100,
    down_connections=40,
    snap_connections=500,
    sustain_ticks=3,
    cooldown_s=10.0,
    lock_switches=3,
    lock_window_s=60.0,
    lock_s=100.0,
    large_payload_bytes=10_000,
    quiet_events_per_s=50.0,
    storm_ticks=2,
    storm_count=20,
    error_share=0.1,
    enobufs_share=0.5,
    cq_overflow_share=0.2,
    revert_lock_s=200.0,
)

# Many small requests: not quiet, no large payloads, no storm.
BUSY = Sample(
    at_s=0.0,
    seconds=0.25,
    connections=70,
    requests_per_s=4000.0,
    callbacks_per_s=4000.0,
    bytes_per_event=300.0,
    bytes_per_request=300.0,
    events_per_iteration=4.0,
    busy_share=0.5,
    events_per_s=4000.0,
    iterations_per_s=1000.0,
)
ERRORS = replace(BUSY, errors_per_s=4000.0)
ENOBUFS = replace(BUSY, enobufs_per_s=3000.0)
OVERFLOWS = replace(BUSY, cq_overflows_per_s=300.0)


def connections(*counts: int) -> list[Sample]:
    return [replace(BUSY, connections=count) for count in counts]


def change(verdict: Verdict, at_s: float, to: Engine) -> Decision:
    active: Engine = "epoll" if to == "uring" else "uring"
    return Decision(at_s, active, verdict, to, Rule.SUSTAINED, "why", "not", BUSY, T)


def decided(
    samples: Sequence[Sample],
    *,
    active: Engine = "epoll",
    history: Sequence[Decision] = (),
    now_s: float = 1000.0,
    thresholds: Thresholds = T,
    adapting: bool = True,
) -> Decision:
    return decide(
        samples,
        history,
        now_s,
        active=active,
        thresholds=thresholds,
        adapting=adapting,
    )

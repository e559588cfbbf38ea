"""Which engine should serve: a pure function of what was measured and what was decided.

    the load asks          what may hold it back           what overrules all
    -------------          -----------------------         ------------------
    enough, or few enough  hardly anything happens         a storm of errors, ENOBUFS
    connections ...        large payloads                  or overflows on io_uring:
    ... for some ticks,    a storm not long ago            back to epoll, now
    or a burst             an oscillation
                           a switch not long ago

The clock is passed in, and so are the decisions made before; nothing is kept
here and nothing is read.  Every decision says in words what it was made from
and what would have had to be different: users read that in ``aioadapt why``.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .sample import Engine, Sample
from .thresholds import Thresholds


class Verdict(enum.Enum):
    STAY = "stay on the engine"
    SWITCH = "the load asks for the other engine"
    REVERT = "a storm: back to epoll"
    ASKED = "somebody asked for it"


class Rule(enum.Enum):
    """What a decision was made by."""

    NOTHING_MEASURED = "nothing has been measured yet"
    STORM = "errors, ENOBUFS or overflows on io_uring"
    PINNED = "adapting is off"
    NEVER_UP = "io_uring was never found better"
    CONNECTIONS = "the number of connections fits the engine"
    QUIET = "hardly anything happens"
    LARGE_PAYLOADS = "the engines tie at large payloads"
    NOT_SUSTAINED = "the load has not asked for long enough"
    AFTER_STORM = "a storm is not long ago"
    LOCKED = "the engines would be changed back and forth"
    COOLDOWN = "the last switch is not long ago"
    SUSTAINED = "the load has asked for long enough"
    BURST = "many connections came at once"
    ASKED = "somebody asked for it"


@dataclass(frozen=True, slots=True)
class Decision:
    """A record: when, from what, by which numbers, what, why, and what else it hung on.

    Attributes:
        active: the engine that took new connections at that moment.
        to: where they go now; *active*, unless it is a switch.
        otherwise: what would have had to be different.
    """

    at_s: float
    active: Engine
    verdict: Verdict
    to: Engine
    rule: Rule
    reason: str
    otherwise: str
    sample: Sample
    thresholds: Thresholds


def decide(
    samples: Sequence[Sample],
    history: Sequence[Decision],
    now_s: float,
    *,
    active: Engine,
    thresholds: Thresholds,
    adapting: bool = True,
) -> Decision:
    """Decide for this tick.

    Args:
        samples: the last ticks, newest last.
        history: decisions made before; only those that were to change the
            engine matter, and of these those that the thresholds reach back to.
        now_s: the time, on the clock of the samples and of the history.
        active: the engine that takes new connections.
        thresholds: the numbers.
        adapting: False leaves nothing but the revert.
    """

    def decided(
        rule: Rule, reason: str, otherwise: str, verdict: Verdict = Verdict.STAY
    ) -> Decision:
        to: Engine = active
        if verdict is not Verdict.STAY:
            to = "epoll" if active == "uring" else "uring"
        sample = samples[-1] if samples else Sample(now_s, 0.0, 0)
        return Decision(
            now_s, active, verdict, to, rule, reason, otherwise, sample, thresholds
        )

    if not samples:
        return decided(Rule.NOTHING_MEASURED, "no tick is over yet", "one tick")

    if active == "uring":
        storm = _storm(samples, thresholds)
        if storm is not None:
            return decided(Rule.STORM, *storm, Verdict.REVERT)
    if not adapting:
        return decided(
            Rule.PINNED, "adapting is off", "adapting on, or a storm on io_uring"
        )

    question = (_up if active == "epoll" else _down)(samples, thresholds)
    if not question.switch:
        return decided(question.rule, question.reason, question.otherwise)

    held_back = _held_back(history, now_s, active, thresholds)
    if held_back is not None:
        rule, why, otherwise = held_back
        return decided(rule, f"{question.reason}; but {why}", otherwise)
    return decided(question.rule, question.reason, question.otherwise, Verdict.SWITCH)


@dataclass(frozen=True, slots=True)
class _Question:
    """Does the load ask for the other engine?"""

    switch: bool
    rule: Rule
    reason: str
    otherwise: str


def _up(samples: Sequence[Sample], t: Thresholds) -> _Question:
    """From epoll to io_uring."""
    sample, limit = samples[-1], t.up_connections
    n = sample.connections
    if limit is None:
        return _Question(
            False,
            Rule.NEVER_UP,
            "io_uring was not found better than epoll at any load when the "
            "thresholds were measured",
            "thresholds with an up_connections",
        )
    if n < limit:
        return _Question(
            False,
            Rule.CONNECTIONS,
            f"{_connections(n)}, up at {limit:,}",
            f"{_connections(limit - n)} more",
        )
    if obstacle := _pointless(sample, t):
        return obstacle
    if n >= t.snap_connections:
        return _Question(
            True,
            Rule.BURST,
            f"{_connections(n)}, a burst from {t.snap_connections:,} on",
            f"fewer than {t.snap_connections:,} connections, which would have needed "
            f"{_ticks(t.sustain_ticks)}",
        )
    ticks = _run(samples, lambda s: s.connections >= limit and _pointless(s, t) is None)
    return _sustained(
        ticks,
        t,
        f"{_connections(n)}, up at {limit:,}",
        f"{limit:,} connections or more",
    )


def _down(samples: Sequence[Sample], t: Thresholds) -> _Question:
    """From io_uring to epoll."""
    sample, limit = samples[-1], t.down_connections
    n = sample.connections
    if n > limit:
        return _Question(
            False,
            Rule.CONNECTIONS,
            f"{_connections(n)}, down at {limit:,}",
            f"{_connections(n - limit)} fewer",
        )
    if obstacle := _pointless(sample, t):
        return obstacle
    ticks = _run(samples, lambda s: s.connections <= limit and _pointless(s, t) is None)
    return _sustained(
        ticks,
        t,
        f"{_connections(n)}, down at {limit:,}",
        f"{limit:,} connections or fewer",
    )


def _sustained(ticks: int, t: Thresholds, reason: str, asking: str) -> _Question:
    missing = t.sustain_ticks - ticks
    if missing > 0:
        return _Question(
            False,
            Rule.NOT_SUSTAINED,
            f"{reason}, for {ticks} of {_ticks(t.sustain_ticks)}",
            f"{_more_ticks(missing)} at {asking}",
        )
    return _Question(
        True,
        Rule.SUSTAINED,
        f"{reason}, for {_ticks(t.sustain_ticks)}",
        f"one of the last {_ticks(t.sustain_ticks)} without {asking}",
    )


def _pointless(sample: Sample, t: Thresholds) -> _Question | None:
    """Where neither engine is better."""
    if sample.events_per_s < t.quiet_events_per_s:
        return _Question(
            False,
            Rule.QUIET,
            f"{sample.events_per_s:,.0f} events per second: hardly anything happens",
            f"{t.quiet_events_per_s:,.0f} events per second or more",
        )
    if sample.requests_per_s > 0:
        payload, of = sample.bytes_per_request, "request"
    else:
        # Not HTTP/1, or one long answer.
        payload, of = sample.bytes_per_event, "event"
    if payload >= t.large_payload_bytes:
        return _Question(
            False,
            Rule.LARGE_PAYLOADS,
            f"{payload:,.0f} bytes per {of}: at such payloads neither engine is better",
            f"fewer than {t.large_payload_bytes:,} bytes per {of}",
        )
    return None


def _held_back(
    history: Sequence[Decision], now_s: float, active: Engine, t: Thresholds
) -> tuple[Rule, str, str] | None:
    changes = [d for d in history if d.verdict is not Verdict.STAY]
    if not changes:
        return None
    if active == "epoll":
        reverts = [d for d in changes if d.verdict is Verdict.REVERT]
        if reverts and (left := reverts[-1].at_s + t.revert_lock_s - now_s) > 0:
            return (
                Rule.AFTER_STORM,
                f"{now_s - reverts[-1].at_s:,.1f} s ago a storm brought everything back "
                f"to epoll ({reverts[-1].reason}), and it stays there for "
                f"{t.revert_lock_s:,g} s",
                f"{left:,.1f} s later",
            )
    left = locked_until_s(changes, t) - now_s
    if left > 0:
        return (
            Rule.LOCKED,
            f"{t.lock_switches} switches within {t.lock_window_s:,g} s were an "
            f"oscillation, which locks the engine for {t.lock_s:,g} s",
            f"{left:,.1f} s later",
        )
    left = changes[-1].at_s + t.cooldown_s - now_s
    if left > 0:
        return (
            Rule.COOLDOWN,
            f"the last change was {now_s - changes[-1].at_s:,.1f} s ago and the "
            f"cool-down is {t.cooldown_s:,g} s",
            f"{left:,.1f} s later",
        )
    return None


def locked_until_s(history: Sequence[Decision], thresholds: Thresholds) -> float:
    """Until when an oscillation locks the engine; -inf where there was none.

    What somebody asked for is no oscillation.
    """
    at_s = [d.at_s for d in history if d.verdict in (Verdict.SWITCH, Verdict.REVERT)]
    # All of them, not the newest only: a revert, which passes the lock, may be
    # too late to be one of the same oscillation, and ends no lock.
    ends_s = [
        newest + thresholds.lock_s
        for oldest, newest in zip(
            at_s, at_s[thresholds.lock_switches - 1 :], strict=False
        )
        if newest - oldest <= thresholds.lock_window_s
    ]
    return max(ends_s, default=float("-inf"))


def _storm(samples: Sequence[Sample], t: Thresholds) -> tuple[str, str] | None:
    """In words, where each of the last ticks was bad; what kind, may change."""
    bad = [_bad(sample, t) for sample in list(samples)[-t.storm_ticks :]]
    if len(bad) < t.storm_ticks or None in bad:
        return None
    newest = bad[-1]
    assert newest is not None
    what, limit = newest
    ticks = _ticks(t.storm_ticks)
    return f"{what}, for {ticks}", f"in one of the {ticks} {limit}"


def _bad(sample: Sample, t: Thresholds) -> tuple[str, str] | None:
    """What was bad, and the limit that it is past."""
    # Failures of accepting answer no request, so they are added to what is
    # their whole.
    of_errors = sample.requests_per_s + sample.errors_per_s
    for name, per_s, whole_per_s, whole, limit in (
        ("errors", sample.errors_per_s, of_errors, "requests", t.error_share),
        (
            "receives without a buffer (ENOBUFS)",
            sample.enobufs_per_s,
            sample.events_per_s,
            "completions",
            t.enobufs_share,
        ),
        (
            "completion queue overflows",
            sample.cq_overflows_per_s,
            sample.iterations_per_s,
            "iterations",
            t.cq_overflow_share,
        ),
    ):
        count = round(per_s * sample.seconds)
        share = per_s / whole_per_s if whole_per_s else float(count > 0)
        if count >= t.storm_count and share >= limit:
            return (
                f"{count:,} {name} in {sample.seconds:.2f} s, {share:.0%} of the {whole}",
                f"fewer than {limit:.0%} or fewer than {t.storm_count}",
            )
    return None


def _run(samples: Sequence[Sample], asks: Callable[[Sample], bool]) -> int:
    """How many of the newest samples ask, without a gap."""
    count = 0
    for sample in reversed(samples):
        if not asks(sample):
            break
        count += 1
    return count


def _connections(n: int) -> str:
    return "1 connection" if n == 1 else f"{n:,} connections"


def _ticks(n: int) -> str:
    return "1 tick" if n == 1 else f"{n} ticks"


def _more_ticks(n: int) -> str:
    return "one more tick" if n == 1 else f"{n} more ticks"

"""Which engine should serve: a pure function of measurements and past decisions.

    calls for a switch      may block it               overrides everything
    ------------------      ------------               --------------------
    the connection count,   too little traffic         a storm of errors, ENOBUFS
      sustained for some    large payloads             or overflows on io_uring:
      ticks                 a recent storm             back to epoll immediately
    a burst of connections  an oscillation
                            a recent switch

The function keeps no state and reads no clock: the time and the earlier
decisions are arguments.  Every decision carries its reason in words, and what
would have led to a different one; ``aioadapt why`` shows both to users.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .sample import Engine, Sample
from .thresholds import Thresholds


class Verdict(enum.Enum):
    """What was decided."""

    STAY = "stay on the current engine"
    SWITCH = "switch: the load calls for the other engine"
    REVERT = "safety revert: a storm on io_uring, back to epoll"
    ASKED = "switch on request"


class Rule(enum.Enum):
    """The rule that a decision was made by."""

    NOTHING_MEASURED = "no measurements yet"
    STORM = "a storm of errors, ENOBUFS or overflows on io_uring"
    PINNED = "adapting is off"
    NEVER_UP = "io_uring was not measured to be better at any load"
    CONNECTIONS = "the number of connections suits the current engine"
    QUIET = "too little traffic to judge"
    LARGE_PAYLOADS = "the engines perform alike at large payloads"
    NOT_SUSTAINED = "the load has not called for a switch long enough"
    AFTER_STORM = "too soon after a storm"
    LOCKED = "locked after an oscillation between the engines"
    COOLDOWN = "too soon after the last switch"
    SUSTAINED = "the load has called for a switch long enough"
    BURST = "a burst of connections"
    ASKED = "requested by a caller"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, with everything it was made from.

    Attributes:
        at_s: when it was made, on the controller's clock.
        active: the engine that accepted new connections at that moment.
        verdict: what was decided.
        to: the engine that accepts new connections from now on; *active* unless
            it is a switch.
        rule: the rule that decided.
        reason: why, in words.
        otherwise: what would have led to the other outcome.  For a decision to
            stay, what a switch still needed; for a switch, a condition under
            which there would have been none.
        sample: the newest sample.
        thresholds: the numbers it was made with.
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
        history: earlier decisions, newest last.  Decisions to stay are ignored,
            and so is what is older than the thresholds look back.
        now_s: the time, on the clock of the samples and of the history.
        active: the engine that accepts new connections.
        thresholds: the numbers to decide with.
        adapting: False allows only the safety revert.
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
        return decided(
            Rule.NOTHING_MEASURED, "no tick has completed yet", "one completed tick"
        )

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
        return decided(rule, f"{question.reason}, but {why}", otherwise)
    return decided(question.rule, question.reason, question.otherwise, Verdict.SWITCH)


@dataclass(frozen=True, slots=True)
class _Question:
    """Whether the load calls for the other engine, and why."""

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
            "when the thresholds were measured, io_uring was not better than epoll "
            "at any load",
            "thresholds with a number for up_connections",
        )
    if n < limit:
        return _Question(
            False,
            Rule.CONNECTIONS,
            f"{_connections(n)}, below the threshold of {limit:,}",
            _connections(limit - n, "more "),
        )
    if obstacle := _pointless(sample, t):
        return obstacle
    if n >= t.snap_connections:
        return _Question(
            True,
            Rule.BURST,
            f"{_connections(n)}, at or above the burst threshold of "
            f"{t.snap_connections:,}",
            f"there had been fewer than {t.snap_connections:,} connections (a switch "
            f"then takes {_ticks(t.sustain_ticks)})",
        )
    ticks = _run(samples, lambda s: s.connections >= limit and _pointless(s, t) is None)
    return _sustained(
        ticks,
        t,
        f"{_connections(n)}, at or above the threshold of {limit:,}",
        f"at least {limit:,} connections",
        f"fewer than {limit:,} connections",
    )


def _down(samples: Sequence[Sample], t: Thresholds) -> _Question:
    """From io_uring to epoll."""
    sample, limit = samples[-1], t.down_connections
    n = sample.connections
    if n > limit:
        return _Question(
            False,
            Rule.CONNECTIONS,
            f"{_connections(n)}, above the threshold of {limit:,}",
            _connections(n - limit, "fewer "),
        )
    if obstacle := _pointless(sample, t):
        return obstacle
    ticks = _run(samples, lambda s: s.connections <= limit and _pointless(s, t) is None)
    return _sustained(
        ticks,
        t,
        f"{_connections(n)}, at or below the threshold of {limit:,}",
        f"at most {limit:,} connections",
        f"more than {limit:,} connections",
    )


def _sustained(
    ticks: int, t: Thresholds, reason: str, asking: str, not_asking: str
) -> _Question:
    """A question whose answer is yes once enough ticks in a row have asked."""
    missing = t.sustain_ticks - ticks
    if missing > 0:
        return _Question(
            False,
            Rule.NOT_SUSTAINED,
            f"{reason}, for {ticks} of {_ticks(t.sustain_ticks)}",
            f"{_more_ticks(missing)} with {asking}",
        )
    return _Question(
        True,
        Rule.SUSTAINED,
        f"{reason}, for {_ticks(t.sustain_ticks)}",
        f"{_one_of_the_last(t.sustain_ticks)} had shown {not_asking}",
    )


def _pointless(sample: Sample, t: Thresholds) -> _Question | None:
    """An answer of no where neither engine is better, else None."""
    if sample.events_per_s < t.quiet_events_per_s:
        return _Question(
            False,
            Rule.QUIET,
            f"{sample.events_per_s:,.0f} events per second: too little traffic to "
            "judge",
            f"at least {t.quiet_events_per_s:,.0f} events per second",
        )
    if sample.requests_per_s > 0:
        payload, of = sample.bytes_per_request, "request"
    else:
        # Not HTTP/1, or one long response.
        payload, of = sample.bytes_per_event, "event"
    if payload >= t.large_payload_bytes:
        return _Question(
            False,
            Rule.LARGE_PAYLOADS,
            f"{payload:,.0f} bytes per {of}: at this size neither engine is better",
            f"fewer than {t.large_payload_bytes:,} bytes per {of}",
        )
    return None


def _held_back(
    history: Sequence[Decision], now_s: float, active: Engine, t: Thresholds
) -> tuple[Rule, str, str] | None:
    """What blocks a switch that the load calls for: rule, reason, what it needs."""
    changes = [d for d in history if d.verdict is not Verdict.STAY]
    if not changes:
        return None
    if active == "epoll":
        reverts = [d for d in changes if d.verdict is Verdict.REVERT]
        if reverts and (left := reverts[-1].at_s + t.revert_lock_s - now_s) > 0:
            return (
                Rule.AFTER_STORM,
                f"a storm {now_s - reverts[-1].at_s:,.1f} s ago forced a return to epoll "
                f"({reverts[-1].reason}), which lasts for at least "
                f"{t.revert_lock_s:,g} s",
                f"another {left:,.1f} s",
            )
    left = locked_until_s(changes, t) - now_s
    if left > 0:
        return (
            Rule.LOCKED,
            f"{t.lock_switches} switches within {t.lock_window_s:,g} s count "
            f"as an oscillation, which locks the engine for {t.lock_s:,g} s",
            f"another {left:,.1f} s",
        )
    left = changes[-1].at_s + t.cooldown_s - now_s
    if left > 0:
        return (
            Rule.COOLDOWN,
            f"the last switch was {now_s - changes[-1].at_s:,.1f} s ago and the "
            f"cooldown is {t.cooldown_s:,g} s",
            f"another {left:,.1f} s",
        )
    return None


def locked_until_s(history: Sequence[Decision], thresholds: Thresholds) -> float:
    """Until when an oscillation locks the engine; -inf if there was none.

    Requested switches do not count.
    """
    at_s = [d.at_s for d in history if d.verdict in (Verdict.SWITCH, Verdict.REVERT)]
    # Every window in the history, not only the newest: a revert ignores the lock,
    # so the newest change may be too late to belong to the oscillation.  It must
    # not end a lock that is still running.
    ends_s = [
        newest + thresholds.lock_s
        for oldest, newest in zip(
            at_s, at_s[thresholds.lock_switches - 1 :], strict=False
        )
        if newest - oldest <= thresholds.lock_window_s
    ]
    return max(ends_s, default=float("-inf"))


def _storm(samples: Sequence[Sample], t: Thresholds) -> tuple[str, str] | None:
    """The reason and what would have prevented the revert; None without a storm.

    Each of the last ticks must be bad, though not for the same cause.
    """
    bad = [_bad(sample, t) for sample in list(samples)[-t.storm_ticks :]]
    if len(bad) < t.storm_ticks or None in bad:
        return None
    newest = bad[-1]
    assert newest is not None
    what, limit = newest
    return (
        f"{what}, for {_ticks(t.storm_ticks)}",
        f"{_one_of_the_last(t.storm_ticks)} had shown {limit}",
    )


def _bad(sample: Sample, t: Thresholds) -> tuple[str, str] | None:
    """What was bad, and the limit that it exceeds."""
    # An operation that failed answered no request, so errors are added to the
    # total of which they are a share.
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
                f"fewer than {t.storm_count:,} {name} or a share below {limit:.0%}",
            )
    return None


def _run(samples: Sequence[Sample], asks: Callable[[Sample], bool]) -> int:
    """How many samples, counted back from the newest, ask without a gap."""
    count = 0
    for sample in reversed(samples):
        if not asks(sample):
            break
        count += 1
    return count


def _connections(n: int, qualifier: str = "") -> str:
    noun = "connection" if n == 1 else "connections"
    return f"{n:,} {qualifier}{noun}"


def _ticks(n: int) -> str:
    return "1 tick" if n == 1 else f"{n} ticks"


def _one_of_the_last(n: int) -> str:
    return "the last tick" if n == 1 else f"one of the last {_ticks(n)}"


def _more_ticks(n: int) -> str:
    return "one more tick" if n == 1 else f"{n} more ticks"

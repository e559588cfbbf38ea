"""Decisions and switches in words, from a server's state as JSON."""

from datetime import datetime
from typing import Any

_VERDICTS = {
    "stay": "stay on {active}",
    "switch": "switch from {active} to {to}",
    "revert": "revert from {active} to {to}",
    "asked": "requested switch from {active} to {to}",
}


def decision_line(decision: dict[str, Any]) -> str:
    """``12:00:01  stay on epoll: 3 connections, below the threshold of 64``"""
    return f"{clock(decision['at'])}  {verdict(decision)}: {decision['reason']}"


def verdict(decision: dict[str, Any]) -> str:
    words: str = _VERDICTS.get(decision["verdict"], decision["verdict"])
    return words.format(active=decision["active"], to=decision["to"])


def otherwise(decision: dict[str, Any]) -> str:
    """What would have led to a different decision."""
    if decision["verdict"] == "stay":
        return f"needed for a switch: {decision['otherwise']}"
    return f"it would not have switched if: {decision['otherwise']}"


def switch_line(switch: dict[str, Any]) -> str:
    """``12:00:01  epoll to uring: 8 of 8 connections moved, ...``"""
    direction = f"{switch['source']} to {switch['to']}"
    return f"{clock(switch['at'])}  {direction}: {outcome(switch)}"


def outcome(switch: dict[str, Any]) -> str:
    """What a switch moved and how long that took, or why it failed."""
    if switch["failed"]:
        return f"failed, nothing changed: {switch['failed']}"
    words = f"{switch['moved']:,} of {switch['connections']:,} connections moved"
    if switch["moved"] and switch["first_moved_s"] is not None:
        pauses = switch["pauses_s"]
        words += (
            f", the first after {duration(switch['first_moved_s'])}, the last after "
            f"{duration(switch['last_moved_s'])}, pauses p50 {duration(pauses['p50'])} "
            f"p99 {duration(pauses['p99'])}"
        )
    if switch["left"]:
        words += f"; not moved: {counts(switch['left'])}"
    return words


def counts(counted: dict[str, int]) -> str:
    """``12 TLS, 3 closed``, largest count first."""
    ordered = sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{count:,} {name}" for name, count in ordered)


def clock(at: float) -> str:
    """A Unix time as local time of day."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def duration(seconds: float | None) -> str:
    """``41 us``, ``1.2 ms``, ``3.4 s``: at most three digits."""
    if seconds is None:
        return "-"
    for factor, unit in ((1e6, "us"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:,.0f} s"

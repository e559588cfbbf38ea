"""The controller's thresholds, rules, hints and some decisions, as tables."""

import re
from dataclasses import fields
from inspect import cleandoc

from aioadapt.control.decide import Decision, Rule, decide
from aioadapt.control.sample import Engine, Sample
from aioadapt.control.start import WorkloadHint, choose_start
from aioadapt.control.thresholds import Thresholds


def meanings() -> dict[str, str]:
    """By field, from the section "Attributes" of the docstring."""
    section = cleandoc(Thresholds.__doc__ or "").split("Attributes:\n")[1]
    section = section.split("\n\n")[0]
    entries = re.split(r"^ {4}(?=\w+:)", section, flags=re.MULTILINE)[1:]
    return {
        name: " ".join(text.split())
        for name, text in (entry.split(":", 1) for entry in entries)
    }


def thresholds() -> str:
    text = meanings()
    rows = [
        f"| `{field.name}` | {_number(field.default)} | "
        f"{text[field.name].replace('``', '`')} |"
        for field in fields(Thresholds)
    ]
    return "\n".join(["| name | default | meaning |", "| --- | --- | --- |", *rows])


def _number(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def rules() -> str:
    rows = [f"| `{rule.name}` | {rule.value} |" for rule in Rule]
    return "\n".join(["| rule | meaning |", "| --- | --- |", *rows])


def hints() -> str:
    rows = [
        f"| `{hint.option}` | `WorkloadHint.{hint.name}` | {hint.value} "
        f"| {choose_start(hint=hint, environ={}).engine} |"
        for hint in WorkloadHint
    ]
    head = [
        "| `--hint` | in code | workload | starts on |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows])


# Not measured on any machine: fixed numbers keep the examples the same when the
# defaults change.
_SHOWN = Thresholds(
    up_connections=64,
    down_connections=32,
    snap_connections=128,
    large_payload_bytes=65_536,
)


def decisions() -> str:
    """What ``decide`` decides for some loads, one after the other."""
    few = _decided([12], [], "epoll")
    soon = _decided([80, 80], [], "epoll")
    up = _decided([80, 80, 80], [], "epoll")
    burst = _decided([1000], [], "epoll")
    back = _decided([20, 20, 20], [up], "uring")
    large = _decided([80, 80, 80], [], "epoll", bytes_per_request=70_000.0)
    storm = _decided([900, 900], [], "uring", errors_per_s=400.0)
    rows = [
        f"| {d.active} | `{d.verdict.name}` | {d.reason} | {d.otherwise} |"
        for d in (few, soon, up, burst, large, back, storm)
    ]
    head = [
        "| on | verdict | reason | for the other outcome |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows])


def _decided(
    connections: list[int],
    history: list[Decision],
    active: Engine,
    *,
    bytes_per_request: float = 200.0,
    errors_per_s: float = 0.0,
) -> Decision:
    """The decision after ticks with these connection counts, 2.8 s after *history*."""
    now_s = 2.8 if history else 0.0
    samples = [
        Sample(
            now_s,
            _SHOWN.tick_s,
            count,
            requests_per_s=2000.0,
            events_per_s=4000.0,
            iterations_per_s=500.0,
            bytes_per_request=bytes_per_request,
            errors_per_s=errors_per_s,
        )
        for count in connections
    ]
    return decide(samples, history, now_s, active=active, thresholds=_SHOWN)

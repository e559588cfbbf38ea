"""Results of several rounds as medians and spreads, for the tables and plots."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from .run import FAULTS


@dataclass(frozen=True, slots=True)
class Spread:
    """The median, the lowest and the highest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class StepSummary:
    """One step of a scenario in one mode, over all rounds."""

    scenario: str
    index: int
    step: str
    mode: str
    connections: int
    requests_per_s: Spread
    cpu_us: Spread
    p50_s: Spread
    p99_s: Spread
    p999_s: Spread
    settling_p99_s: Spread  # of the first part, in which switches happen
    faults: dict[str, int]
    closed_by_server: int
    requests: int  # total of all rounds
    active: str  # the engine at the end; both, if rounds differ


def steps_of(results: dict[str, Any]) -> list[StepSummary]:
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for step in results["steps"]:
        key = (step["scenario"], step["index"], step["mode"])
        groups.setdefault(key, []).append(step)
    return [_summed_up(group) for group in groups.values()]


def _summed_up(group: Sequence[dict[str, Any]]) -> StepSummary:
    first = group[0]
    parts = [part for step in group for part in _parts(step)]

    def steady(name: str) -> Spread:
        return Spread.of(step["steady"][name] for step in group)

    return StepSummary(
        first["scenario"],
        first["index"],
        first["step"],
        first["mode"],
        first["connections"],
        steady("requests_per_s"),
        steady("cpu_us"),
        steady("p50_s"),
        steady("p99_s"),
        steady("p999_s"),
        Spread.of(step.get("settle", step["steady"])["p99_s"] for step in group),
        {fault: sum(part[fault] for part in parts) for fault in FAULTS},
        sum(part["closed_by_server"] for part in parts),
        sum(part["requests"] for part in parts),
        ", ".join(sorted({step["active"] for step in group})),
    )


def _parts(step: dict[str, Any]) -> list[dict[str, Any]]:
    return [step[part] for part in ("settle", "steady") if part in step]


@dataclass(frozen=True, slots=True)
class SwitchSummary:
    """The switches of one mode in one step, over all rounds."""

    scenario: str
    step: str
    mode: str
    source: str
    to: str
    rule: str
    count: int
    connections: Spread
    moved: int
    left: int
    first_moved_s: Spread | None
    last_moved_s: Spread | None
    pause_p50_s: Spread | None
    pause_p99_s: Spread | None
    pause_max_s: float


def switches_of(results: dict[str, Any]) -> list[SwitchSummary]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for switch in results["switches"]:
        names = ("scenario", "step", "mode", "source", "to", "rule")
        groups.setdefault(tuple(switch[name] for name in names), []).append(switch)
    return [_switches(group) for group in groups.values()]


def _switches(group: Sequence[dict[str, Any]]) -> SwitchSummary:
    first = group[0]
    moving = [switch for switch in group if switch["moved"]]

    def spread(name: str) -> Spread | None:
        return Spread.of(switch[name] for switch in moving) if moving else None

    return SwitchSummary(
        scenario=first["scenario"],
        step=first["step"],
        mode=first["mode"],
        source=first["source"],
        to=first["to"],
        rule=first["rule"],
        count=len(group),
        connections=Spread.of(switch["connections"] for switch in group),
        moved=sum(switch["moved"] for switch in group),
        left=sum(sum(switch["left"].values()) for switch in group),
        first_moved_s=spread("first_moved_s"),
        last_moved_s=spread("last_moved_s"),
        pause_p50_s=spread("pause_p50_s"),
        pause_p99_s=spread("pause_p99_s"),
        pause_max_s=max((switch["pause_max_s"] for switch in moving), default=0.0),
    )


def verdict_of(results: dict[str, Any]) -> dict[str, int]:
    """Requests and faults of the whole experiment."""
    parts = [part for step in results["steps"] for part in _parts(step)]
    parts += results.get("gil", {}).get("throughput", [])
    counts = {"requests": sum(part["requests"] for part in parts)}
    for fault in FAULTS:
        counts[fault] = sum(part[fault] for part in parts)
    # If a run has several moves, each of their records contains the same count.
    runs = {
        (r["round"], r["cores"], r["switch_interval_s"], r["load"]): r
        for r in results.get("gil", {}).get("pauses", [])
    }
    for fault in FAULTS:
        counts[fault] += sum(run[fault] for run in runs.values())
    return counts


def throughput_of(
    results: dict[str, Any],
) -> dict[tuple[str, str, float], list[dict[str, Any]]]:
    """The GIL section's throughput, by cores, active loops and switch interval."""
    groups: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for record in results.get("gil", {}).get("throughput", []):
        key = (record["cores"], record["active"], record["switch_interval_s"])
        groups.setdefault(key, []).append(record)
    return groups


def pauses_of(
    results: dict[str, Any],
) -> dict[tuple[str, str, float], list[dict[str, Any]]]:
    """The GIL section's pauses, by cores, load and switch interval."""
    groups: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for record in results.get("gil", {}).get("pauses", []):
        key = (record["cores"], record["load"], record["switch_interval_s"])
        groups.setdefault(key, []).append(record)
    return groups


def against(
    results: dict[str, Any], scenario: str, step: str, mode: str, base: str, what: str
) -> Spread | None:
    """How much more *mode* has than *base*, as a share: 0.1 for a tenth.

    The two are compared within each round; None if one is missing.
    """
    found = {
        (each["round"], each["mode"]): each["steady"][what]
        for each in results["steps"]
        if (each["scenario"], each["step"]) == (scenario, step)
    }
    rounds = sorted({number for number, _ in found})
    shares = [
        found[number, mode] / found[number, base] - 1
        for number in rounds
        if found.get((number, mode)) and found.get((number, base))
    ]
    return Spread.of(shares) if shares else None


def course_of_burst(
    results: dict[str, Any], mode: str
) -> tuple[list[float], list[float]]:
    """Requests per second in each slot from the start of the burst."""
    courses, slot_s = [], 0.1
    for step in results["steps"]:
        if (
            step["scenario"] == "burst"
            and step["step"] == "burst"
            and step["mode"] == mode
        ):
            course: list[int] = []
            for part in _parts(step):
                # The last slot of a run is incomplete.
                course += part["per_slot"][: int(part["seconds"] / slot_s)]
            courses.append(course)
    length = min(map(len, courses), default=0)
    rates = [
        statistics.median(course[i] for course in courses) / slot_s
        for i in range(length)
    ]
    return [slot_s * i for i in range(length)], rates

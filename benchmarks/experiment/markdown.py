"""The report's tables, made from the results; every sentence is true for any result."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aioadapt.measure.sweep import DISTURBED_SHARE

from .plan import MODE_NAMES
from .summary import (
    Spread,
    StepSummary,
    against,
    pauses_of,
    steps_of,
    switches_of,
    throughput_of,
    verdict_of,
)

SCENARIOS = {
    "ramp": "Ramp: keep-alive connections up and back down",
    "burst": "Burst: all connections at the same time, none of them new",
    "churn": "Churn: connections that close after 20 requests",
    "mix": "Mix: a tenth of the responses are 64 KiB",
}


def render(
    results: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    plots: Iterable[str] = (),
) -> str:
    """Markdown of one run, compared with runs of other Python versions if there are any."""
    results = dict(results)
    pictures = set(plots)
    lines = [*_head(results), *_verdict(results), *_at_a_glance(results, pictures)]
    steps = steps_of(results)
    for scenario, title in SCENARIOS.items():
        of_it = [step for step in steps if step.scenario == scenario]
        if of_it:
            lines += [
                "",
                f"## {title}",
                "",
                *_picture(scenario, pictures),
                *_steps(of_it),
            ]
    lines += _switches(results, pictures)
    if results.get("gil"):
        lines += _gil(results, pictures)
    if others:
        lines += _pythons({results["machine"]["python_minor"]: results, **others})
    return "\n".join(lines) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    alignment = ["---", *["---:"] * (len(header) - 1)]
    return [f"| {' | '.join(row)} |" for row in (header, alignment, *rows)]


def _head(results: Mapping[str, Any]) -> list[str]:
    machine, plan = results["machine"], results["plan"]
    shortened = ", ".join(
        f"`{name}` {value:g}" for name, value in results["shortened"].items()
    )
    rules = results["thresholds"]
    return [
        "# Results of `./run report`",
        "",
        "The command generates this file from `results.json` beside it.",
        "",
        f"Python {machine['python']}, Linux {machine['kernel']} on {machine['machine']}, "
        f"{machine['cpus']} cores ({machine['cpu']}), aioadapt at {machine['commit'] or '?'}. "
        f"Rounds: {plan['rounds']}; figures are their medians, with the lowest and the "
        f"highest round in parentheses.",
        "",
        "uvicorn with a trivial ASGI application. The load client has a core of its own and "
        "spins, in a closed loop: each connection has one request in flight. "
        "CPU is that of the server process, all threads, divided by the requests.",
        "",
        f"Thresholds: up at {rules['up_connections']} connections, down at "
        f"{rules['down_connections']}, immediately from {rules['snap_connections']}; large "
        f"payloads from {rules['large_payload_bytes']:,} bytes; a tick every "
        f"{rules['tick_s']:g} s. Changed for the experiment, because its steps last only "
        f"seconds: {shortened}.",
    ]  # fmt: skip


def _verdict(results: dict[str, Any]) -> list[str]:
    counts = verdict_of(results)
    faults = ", ".join(f"{counts[f]:,} {f}" for f in counts if f != "requests")
    control = [
        step["steady"]["control_share"]
        for step in results["steps"]
        if step["mode"] == "adaptive"
    ]
    lines = ["", f"Every byte was compared: {counts['requests']:,} requests, {faults}."]
    if control:
        lines += [
            "",
            f"In adaptive mode the controller's thread used {statistics.median(control):.2%} "
            f"of a core (highest step: {max(control):.2%}).",
        ]
    # Only modes with one busy thread: the threads of one server wait for each other.
    waited = [
        step["steady"].get("waited_share", 0.0)  # older results have none
        for step in results["steps"]
        if step["mode"] in ("epoll", "uring")
    ]
    if waited and (share := statistics.median(waited)) >= DISTURBED_SHARE:
        lines += [
            "",
            f"**Other work used the server's core for {share:.0%} of the time: this machine "
            f"was not idle, so small differences are not significant.**",
        ]
    return lines


def _at_a_glance(results: dict[str, Any], pictures: set[str]) -> list[str]:
    """What each mode gains over epoll, and moving over not moving, in each step."""
    pairs = [("uring", "epoll"), ("adaptive", "epoll"), ("routing", "epoll"),
             ("adaptive", "routing")]  # fmt: skip
    steps = dict.fromkeys(
        (step.scenario, step.step)
        for step in sorted(steps_of(results), key=lambda s: s.index)
        if step.step not in ("open", "calm")
    )
    titles = [f"{MODE_NAMES[mode]} against {MODE_NAMES[base]}" for mode, base in pairs]
    lines = ["", "## At a glance", "", *_picture("summary", pictures)]
    for what, title in (("cpu_us", "Server CPU per request (less is better)"),
                        ("requests_per_s", "Throughput (more is better)")):  # fmt: skip
        rows = []
        for scenario in SCENARIOS:
            for of, step in steps:
                if of != scenario:
                    continue
                shares = [against(results, of, step, *pair, what) for pair in pairs]
                rows.append([f"{of} {step}", *map(percent, shares)])
        lines += ["", f"{title}:", "", *table(["step", *titles], rows)]
    return lines


def _picture(name: str, pictures: set[str]) -> list[str]:
    found = sorted(
        (p for p in pictures if p.startswith(name) and p[len(name)] in ".-"), key=len
    )
    return [line for file in found for line in (f"![{name}]({file})", "")]


def _steps(steps: Sequence[StepSummary]) -> list[str]:
    header = ["step", "mode", "requests/s", "CPU us/request", "p50 ms", "p99 ms", "p99.9 ms",
              "p99 ms while settling", "faults", "engine at the end"]  # fmt: skip
    rows = [
        [
            step.step,
            MODE_NAMES[step.mode],
            count(step.requests_per_s),
            number(step.cpu_us, 1),
            number(step.p50_s, 2, 1e3),
            number(step.p99_s, 2, 1e3),
            number(step.p999_s, 2, 1e3),
            number(step.settling_p99_s, 2, 1e3),
            str(sum(step.faults.values())),
            step.active,
        ]
        for step in sorted(steps, key=lambda s: s.index)
    ]
    return table(header, rows)


def _switches(results: dict[str, Any], pictures: set[str]) -> list[str]:
    header = ["step", "mode", "switch", "decided by", "times", "connections", "moved",
              "left behind", "first moved ms", "last moved ms", "pause p50 ms",
              "pause p99 ms", "longest ms"]  # fmt: skip
    rows = [
        [
            f"{switch.scenario} {switch.step}",
            MODE_NAMES[switch.mode],
            f"{switch.source} to {switch.to}",
            switch.rule.lower().replace("_", " "),
            str(switch.count),
            count(switch.connections),
            f"{switch.moved:,}",
            f"{switch.left:,}",
            number(switch.first_moved_s, 0, 1e3),
            number(switch.last_moved_s, 0, 1e3),
            number(switch.pause_p50_s, 2, 1e3),
            number(switch.pause_p99_s, 2, 1e3),
            f"{switch.pause_max_s * 1e3:.1f}" if switch.moved else "-",
        ]
        for switch in switches_of(results)
    ]
    return [
        "",
        "## Switches",
        "",
        *_picture("switches", pictures),
        "Times are counted from the decision. A connection's pause is the time in which "
        "neither loop reads from it.",
        "",
        *table(header, rows),
    ]


def _gil(results: dict[str, Any], pictures: set[str]) -> list[str]:
    throughput = [
        [
            f"{cores}: {active}",
            f"{interval_s * 1e3:g}",
            count(Spread.of(r["requests_per_s"] for r in records)),
            number(Spread.of(r["cpu_us"] for r in records), 1),
            number(Spread.of(r["p99_s"] for r in records), 1, 1e3),
        ]
        for (cores, active, interval_s), records in throughput_of(results).items()
    ]
    pauses = []
    for (cores, load, interval_s), records in pauses_of(results).items():
        moved = [r for r in records if r["moved"]]
        last = [r["last_moved_s"] for r in moved if r.get("last_moved_s") is not None]
        pauses.append(
            [
                f"{cores}: {load}",
                f"{interval_s * 1e3:g}",
                str(sum(r.get("times", 1) for r in records)),
                f"{sum(r['moved'] for r in records):,}",
                number(_spread(r["pause_p50_s"] for r in moved), 2, 1e3),
                number(_spread(r["pause_p99_s"] for r in moved), 2, 1e3),
                f"{max((r['pause_max_s'] for r in moved), default=0.0) * 1e3:.1f}",
                number(_spread(last), 0, 1e3),
            ]
        )
    return [
        "",
        "## Two loops and one interpreter",
        "",
        *_picture("gil", pictures),
        "Throughput with one loop active, and with half of the connections on each. With one "
        "core, server and load client have a core each. With all cores, both may use all of "
        "them, and the client sleeps while it waits.",
        "",
        *table(
            ["active", "switch interval ms", "requests/s", "CPU us/request", "p99 ms"],
            throughput,
        ),
        "",
        "Pauses of forced moves. At half load and saturated, all connections are switched "
        "back and forth. With both loops saturated, each serves half of the connections, and "
        "50 at a time are moved between them.",
        "",
        *table(
            ["load", "switch interval ms", "times", "moved", "pause p50 ms", "pause p99 ms",
             "longest ms", "last moved ms"],
            pauses,
        ),
    ]  # fmt: skip


def _pythons(by_version: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = []
    for version in sorted(by_version, key=lambda v: [int(n) for n in v.split(".")]):
        results = dict(by_version[version])
        burst = {s.mode: s for s in steps_of(results) if s.step == "burst"}
        pauses = [s["pause_p99_s"] for s in results["switches"] if s["moved"]]
        both = throughput_of(results).get(("one core", "both", 0.005), [])
        counts = verdict_of(results)
        rows.append(
            [
                version,
                *(
                    count(burst[m].requests_per_s) if m in burst else "-"
                    for m in MODE_NAMES
                ),
                *(
                    number(burst[m].cpu_us, 1) if m in burst else "-"
                    for m in MODE_NAMES
                ),
                number(_spread(pauses), 2, 1e3),
                count(_spread(r["requests_per_s"] for r in both)),
                str(sum(n for name, n in counts.items() if name != "requests")),
            ]
        )
    header = [
        "Python",
        *(f"burst requests/s, {name}" for name in MODE_NAMES.values()),
        *(f"CPU us, {name}" for name in MODE_NAMES.values()),
        "pause p99 ms",
        "both loops requests/s",
        "faults",
    ]
    return ["", "## Comparison of Python versions", "", *table(header, rows)]


def _spread(values: Iterable[float]) -> Spread | None:
    values = list(values)
    return Spread.of(values) if values else None


def number(spread: Spread | None, digits: int, factor: float = 1.0) -> str:
    if spread is None:
        return "-"
    median, low, high = (
        f"{value * factor:.{digits}f}"
        for value in (spread.median, spread.low, spread.high)
    )
    return median if low == high else f"{median} ({low} to {high})"


def percent(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    median, low, high = (f"{v:+.1%}" for v in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"


def count(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    median, low, high = (f"{v:,.0f}" for v in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"

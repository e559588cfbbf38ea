"""The report's plots, by matplotlib: white background, labelled axes, four modes."""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aioadapt.measure.usage import ExperimentError

from .plan import MODE_NAMES
from .summary import (
    StepSummary,
    course_of_burst,
    pauses_of,
    steps_of,
    throughput_of,
)

# Distinguishable without colour as well; the colours are Okabe and Ito's.
LOOKS: dict[str, dict[str, Any]] = {
    "epoll": {"color": "#0072B2", "marker": "o", "linestyle": "--"},
    "uring": {"color": "#E69F00", "marker": "s", "linestyle": "--"},
    "adaptive": {"color": "#009E73", "marker": "D", "linestyle": "-", "linewidth": 2.4},
    "routing": {"color": "#CC79A7", "marker": "^", "linestyle": "-"},
}
STYLE: Any = {
    "axes.facecolor": "white",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.alpha": 0.3,
    "savefig.facecolor": "white",
    # Makes the files reproducible.
    "svg.hashsalt": "aioadapt",
}


def draw(results: dict[str, Any], folder: Path, suffix: str = "") -> list[str]:
    """Write every plot that *results* contain figures for; returns the file names.

    Raises:
        ExperimentError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise ExperimentError(
            "the plots need matplotlib, which is not installed: "
            'pip install "aioadapt[report]"'
        ) from error
    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    steps = steps_of(results)
    ramp = [step for step in steps if step.scenario == "ramp"]
    burst = [step for step in steps if step.step == "burst"]
    names = []

    @contextmanager
    def picture(
        name: str, rows: int, columns: int, size: tuple[float, float]
    ) -> Iterator[Any]:
        import matplotlib.pyplot as plt

        with mpl.rc_context(STYLE):
            figure, axes = plt.subplots(
                rows, columns, figsize=size, squeeze=False, layout="constrained"
            )
            try:
                yield axes
                figure.savefig(folder / f"{name}{suffix}.svg", metadata={"Date": None})
                names.append(f"{name}{suffix}.svg")
            finally:
                plt.close(figure)

    if ramp:
        with picture("ramp", 2, 1, (9, 8)) as axes:
            _along(axes[0, 0], ramp, "requests_per_s", 1.0)
            _label(axes[0, 0], "Throughput along the ramp", "", "requests/s")
            _along(axes[1, 0], ramp, "cpu_us", 1.0)
            _label(axes[1, 0], "Server CPU per request", "connections", "microseconds")
        with picture("ramp-p99", 1, 1, (9, 4.5)) as axes:
            _along(axes[0, 0], ramp, "p99_s", 1e3)
            axes[0, 0].set_yscale("log")
            _label(
                axes[0, 0], "Latency along the ramp, p99", "connections", "milliseconds"
            )
    if burst:
        with picture("burst", 1, 1, (9, 4.5)) as axes:
            _course(axes[0, 0], results)
    if any(switch["moved"] for switch in results["switches"]):
        with picture("switches", 1, 2, (10, 4.5)) as axes:
            _switches(axes, results)
    if results.get("gil"):
        with picture("gil", 1, 2, (11, 4.8)) as axes:
            _gil(axes, results)
    if ramp and burst:
        with picture("summary", 1, 2, (11, 4.6)) as axes:
            _summary(axes, results, ramp, burst)
    return names


def _label(axis: Any, title: str, x: str, y: str, *, legend: bool = True) -> None:
    axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    if y and axis.get_yscale() == "linear":
        axis.set_ylim(bottom=0)
    if legend:
        axis.legend(frameon=False, fontsize=9)


def _along(axis: Any, ramp: Sequence[StepSummary], what: str, factor: float) -> None:
    """One line per mode, with the lowest and the highest round as a band."""
    for mode, look in LOOKS.items():
        steps = sorted((s for s in ramp if s.mode == mode), key=lambda s: s.index)
        if not steps:
            continue
        at = [step.index for step in steps]
        spreads = [getattr(step, what) for step in steps]
        axis.plot(
            at, [s.median * factor for s in spreads], label=MODE_NAMES[mode], **look
        )
        axis.fill_between(
            at,
            [s.low * factor for s in spreads],
            [s.high * factor for s in spreads],
            color=look["color"],
            alpha=0.12,
            linewidth=0,
        )
        axis.set_xticks(at, [f"{step.connections:,}" for step in steps])


def _course(axis: Any, results: dict[str, Any]) -> None:
    for mode, look in LOOKS.items():
        at, rates = course_of_burst(results, mode)
        if at:
            axis.plot(at, rates, label=MODE_NAMES[mode], **{**look, "markersize": 4})
    _label(
        axis,
        "A keep-alive burst that opens no connection",
        "seconds since the start of the burst",
        "requests/s",
    )


def _switches(axes: Any, results: dict[str, Any]) -> None:
    moved = [switch for switch in results["switches"] if switch["moved"]]
    many = [switch["connections"] for switch in moved]
    for name, label, marker in (
        ("first_moved_s", "first connection", "o"),
        ("last_moved_s", "last connection", "D"),
    ):
        axes[0, 0].scatter(
            many, [s[name] * 1e3 for s in moved], label=label, marker=marker, alpha=0.6
        )
    axes[0, 0].axhline(1000, color="grey", linestyle=":", label="1 second")
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_yscale("log")
    _label(axes[0, 0], "From the decision to the move", "connections", "milliseconds")
    for name, label, marker in (
        ("pause_p50_s", "p50 of a switch", "o"),
        ("pause_p99_s", "p99 of a switch", "D"),
    ):
        axes[0, 1].scatter(
            many, [s[name] * 1e3 for s in moved], label=label, marker=marker, alpha=0.6
        )
    axes[0, 1].set_xscale("log")
    axes[0, 1].set_yscale("log")
    _label(axes[0, 1], "Pause of a connection", "connections", "milliseconds")


def _gil(axes: Any, results: dict[str, Any]) -> None:
    bars = [
        (
            f"{active}\n{interval_s * 1e3:g} ms",
            cores,
            [r["requests_per_s"] for r in records],
        )
        for (cores, active, interval_s), records in throughput_of(results).items()
    ]
    names = list(dict.fromkeys(name for name, _, _ in bars))
    for offset, cores, color in (
        (-0.2, "one core", "#0072B2"),
        (0.2, "all cores", "#56B4E9"),
    ):
        mine = {name: values for name, where, values in bars if where == cores}
        axes[0, 0].bar(
            [names.index(name) + offset for name in mine],
            [statistics.median(values) for values in mine.values()],
            width=0.38,
            label=f"server on {cores}",
            color=color,
        )
    axes[0, 0].set_xticks(range(len(names)), names)
    _label(
        axes[0, 0],
        "One loop active, or both",
        "active loops, switch interval",
        "requests/s",
    )
    groups = {
        (load, interval_s): [r["pause_p99_s"] * 1e3 for r in records if r["moved"]]
        for (cores, load, interval_s), records in pauses_of(results).items()
        if cores == "one core"
    }
    loads = list(dict.fromkeys(load for load, _ in groups))
    intervals = list(dict.fromkeys(interval_s for _, interval_s in groups))
    for number, interval_s in enumerate(intervals):
        offset = (number - (len(intervals) - 1) / 2) * 0.26
        found = [groups.get((load, interval_s), []) for load in loads]
        axes[0, 1].bar(
            [place + offset for place in range(len(loads))],
            [statistics.median(each) if each else 0.0 for each in found],
            width=0.24,
            label=f"switch interval {interval_s * 1e3:g} ms",
        )
    axes[0, 1].set_xticks(range(len(loads)), loads)
    _label(
        axes[0, 1], "Pause of moved connections, p99, on one core", "", "milliseconds"
    )


def _summary(
    axes: Any,
    results: dict[str, Any],
    ramp: Sequence[StepSummary],
    burst: Sequence[StepSummary],
) -> None:
    """One plot that summarises the report: the ramp's way up, and the burst."""
    top = max(step.connections for step in ramp)
    peak = min(step.index for step in ramp if step.connections == top)
    _along(axes[0, 0], [s for s in ramp if s.index <= peak], "cpu_us", 1.0)
    _label(
        axes[0, 0],
        "Server CPU per request",
        "keep-alive connections",
        "microseconds",
    )
    for place, (mode, look) in enumerate(LOOKS.items()):
        for step in burst:
            if step.mode != mode:
                continue
            rate = step.requests_per_s
            axes[0, 1].barh(place, rate.median, color=look["color"], height=0.62)
            axes[0, 1].plot(
                [rate.low, rate.high], [place, place], color="black", linewidth=1.2
            )
            axes[0, 1].annotate(
                f"{rate.median:,.0f}",
                (0, place),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                color="white",
                fontweight="bold",
            )
    axes[0, 1].set_yticks(
        range(len(LOOKS)), [MODE_NAMES[mode].replace(", ", ",\n") for mode in LOOKS]
    )
    axes[0, 1].invert_yaxis()
    axes[0, 1].grid(axis="y", visible=False)
    many = f"{burst[0].connections:,}"
    _label(
        axes[0, 1],
        f"Burst on {many} open connections",
        "requests/s (black line: lowest and highest round)",
        "",
        legend=False,
    )

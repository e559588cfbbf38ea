"""A server's state as Prometheus metrics.

They are created from the state at each request: events are counted where they
happen, and nothing is kept here.  Needs the extra ``metrics``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from aioadapt.stats import LATENCY_BOUNDS_S

from .state import EngineState, ServerState

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4.encode()

# The state has four buckets per octave.  One of them is exported, from 32
# microseconds up: 22 buckets.
_SHOWN = range(19, len(LATENCY_BOUNDS_S), 4)

# Metric name, field of LoopStats, description.
_COUNTERS = (
    ("requests", "requests", "HTTP/1 requests answered."),
    ("accepted_connections", "accepts", "Connections accepted."),
    ("received_bytes", "bytes_in", "Bytes received."),
    ("sent_bytes", "bytes_out", "Bytes sent."),
    ("busy_seconds", "busy_s", "Seconds not spent waiting in the kernel."),
    ("events", "events", "Readiness events or completions reaped from the kernel."),
    ("iterations", "iterations", "Event loop iterations."),
    ("callbacks", "callbacks", "Callbacks run."),
    ("enobufs", "enobufs", "Receives that failed because no buffer was free."),
    ("cq_overflows", "cq_overflows", "Completion queue overflows."),
    ("errors", "errors", "Failed receives, sends and accepts."),
)


def exposition(state: ServerState) -> bytes:
    """*state* in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collector(state))
    return generate_latest(registry)


class _Collector:
    def __init__(self, state: ServerState) -> None:
        self._state = state

    def describe(self) -> Iterable[Metric]:
        return ()  # or else the registry would collect once to find the names

    def collect(self) -> Iterator[Metric]:
        yield from _of_server(self._state)
        yield from _of_engines(self._state.engines)
        yield from _of_moves(self._state)


def _of_server(state: ServerState) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "aioadapt_server",
        "Application, Python version and start reason of the server.",
        {"app": state.app, "python": state.python, "start": state.start.reason},
    )
    yield GaugeMetricFamily(
        "aioadapt_start_time_seconds",
        "Unix time at which the server started.",
        state.started_at,
    )
    yield GaugeMetricFamily(
        "aioadapt_adapting",
        "1 if the server switches engines with the load, else 0.",
        state.adapting,
    )
    yield GaugeMetricFamily(
        "aioadapt_migrating",
        "1 if live connections move when the engine is switched, else 0.",
        state.migrating,
    )
    decisions = CounterMetricFamily(
        "aioadapt_decisions", "Decisions, by verdict.", labels=["verdict"]
    )
    for verdict, count in sorted(state.verdicts.items()):
        decisions.add_metric([verdict], count)
    yield decisions
    yield _by_direction(
        "aioadapt_switches", "Switches carried out, by direction.", state.switched
    )


def _of_engines(engines: Sequence[EngineState]) -> Iterator[Metric]:
    active = GaugeMetricFamily(
        "aioadapt_active",
        "1 for the engine that accepts new connections, else 0.",
        labels=["engine"],
    )
    connections = GaugeMetricFamily(
        "aioadapt_connections", "Open connections on the engine.", labels=["engine"]
    )
    durations = HistogramMetricFamily(
        "aioadapt_request_duration_seconds",
        "Time from the arrival of a request to the end of its response.",
        labels=["engine"],
    )
    moves = CounterMetricFamily(
        "aioadapt_engine_moves",
        "Connections moved to the engine or away from it.",
        labels=["engine", "way"],
    )
    for engine in engines:
        stats, labels = engine.stats, [engine.engine]
        active.add_metric(labels, engine.active)
        connections.add_metric(labels, stats.connections)
        buckets = _buckets(stats.latencies)
        durations.add_metric(labels, buckets, stats.answering_s)
        moves.add_metric([*labels, "in"], stats.moves_in)
        moves.add_metric([*labels, "out"], stats.moves_out)
    yield from (active, connections, durations, moves)
    for name, field, text in _COUNTERS:
        counter = CounterMetricFamily(f"aioadapt_{name}", text, labels=["engine"])
        for engine in engines:
            counter.add_metric([engine.engine], getattr(engine.stats, field))
        yield counter


def _of_moves(state: ServerState) -> Iterator[Metric]:
    stats = state.migrator
    yield _by_direction(
        "aioadapt_moves", "Connections moved, by direction.", stats.moves
    )
    yield HistogramMetricFamily(
        "aioadapt_move_pause_seconds",
        "Time during which nothing read from a connection while it moved.",
        _buckets(stats.pauses),
        stats.pausing_s,
    )
    left = CounterMetricFamily(
        "aioadapt_left_connections",
        "Connections that were asked to move but did not, by reason.",
        labels=["reason"],
    )
    for reason, count in sorted(stats.left.items()):
        left.add_metric([reason], count)
    yield left
    yield CounterMetricFamily(
        "aioadapt_returned_connections",
        "Connections released, refused by their target and taken back.",
        stats.returned,
    )
    yield CounterMetricFamily(
        "aioadapt_carried_bytes",
        "Bytes read by the source of a move and delivered by its target.",
        stats.carried_bytes,
    )


def _by_direction(name: str, text: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["source", "target"])
    for direction, count in sorted(counts.items()):
        source, _, target = direction.partition(">")
        family.add_metric([source, target], count)
    return family


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """The exported buckets, cumulative as Prometheus expects."""
    shown = [(str(LATENCY_BOUNDS_S[i]), float(sum(counts[: i + 1]))) for i in _SHOWN]
    return [*shown, ("+Inf", float(sum(counts)))]

"""A server's state as metrics, in the words of Prometheus.

Made anew from the state at each request: what counts is counted where it
happens, and nothing is kept here.  Needs the extra ``metrics``.
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

# Of four counters to an octave one is shown, from 32 microseconds up: 22 buckets.
_SHOWN = range(19, len(LATENCY_BOUNDS_S), 4)

# Name, of LoopStats the field, what it is.
_COUNTERS = (
    ("requests", "requests", "HTTP/1 requests answered."),
    ("accepted_connections", "accepts", "Connections accepted."),
    ("received_bytes", "bytes_in", "Bytes received."),
    ("sent_bytes", "bytes_out", "Bytes sent."),
    ("busy_seconds", "busy_s", "Seconds not spent waiting in the kernel."),
    ("events", "events", "Descriptors found ready, or completions collected."),
    ("iterations", "iterations", "Iterations of the loop."),
    ("callbacks", "callbacks", "Callbacks run."),
    ("enobufs", "enobufs", "Receives that found every buffer lent out."),
    ("cq_overflows", "cq_overflows", "Completions that did not fit into the queue."),
    ("errors", "errors", "Receives, sends and accepts that the kernel failed."),
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
        "The server.",
        {"app": state.app, "python": state.python, "start": state.start.reason},
    )
    yield GaugeMetricFamily(
        "aioadapt_start_time_seconds",
        "Unix time at which the server started.",
        state.started_at,
    )
    yield GaugeMetricFamily(
        "aioadapt_adapting", "1 while the engine follows the load.", state.adapting
    )
    yield GaugeMetricFamily(
        "aioadapt_migrating",
        "1 while connections follow the engine.",
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
        "aioadapt_active", "1 for the engine that accepts.", labels=["engine"]
    )
    connections = GaugeMetricFamily(
        "aioadapt_connections", "Connections that live there.", labels=["engine"]
    )
    durations = HistogramMetricFamily(
        "aioadapt_request_duration_seconds",
        "From a request's arrival to the end of its answer.",
        labels=["engine"],
    )
    moves = CounterMetricFamily(
        "aioadapt_engine_moves",
        "Connections that came to an engine or left it.",
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
        "How long nobody read from a connection that was moved.",
        _buckets(stats.pauses),
        stats.pausing_s,
    )
    left = CounterMetricFamily(
        "aioadapt_left_connections",
        "Connections asked to move and not moved, by reason.",
        labels=["reason"],
    )
    for reason, count in sorted(stats.left.items()):
        left.add_metric([reason], count)
    yield left
    yield CounterMetricFamily(
        "aioadapt_returned_connections",
        "Connections let go, refused by their target and taken back.",
        stats.returned,
    )
    yield CounterMetricFamily(
        "aioadapt_carried_bytes",
        "Bytes read by a move's source and delivered by its target.",
        stats.carried_bytes,
    )


def _by_direction(name: str, text: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["source", "target"])
    for direction, count in sorted(counts.items()):
        source, _, target = direction.partition(">")
        family.add_metric([source, target], count)
    return family


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    shown = [(str(LATENCY_BOUNDS_S[i]), float(sum(counts[: i + 1]))) for i in _SHOWN]
    return [*shown, ("+Inf", float(sum(counts)))]

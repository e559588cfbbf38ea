"""What Prometheus' own parser reads from /metrics."""

import asyncio
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families
from seen import ANSWER, RunningAdmin, Seen, answering, exchange, run

import aioadapt
from aioadapt import LoopThread
from aioadapt.serving.admin_socket import AdminError

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


pytestmark = pytest.mark.usefixtures("runtime_folder")


def samples(admin: RunningAdmin) -> Samples:
    text = admin.client.get("/metrics").decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_requests_and_their_durations_are_what_the_loop_has_counted(
    seen: Seen, admin: RunningAdmin
) -> None:
    (epoll,) = seen.threads
    with answering(epoll) as port:
        run(exchange(port, requests=7))

    found = samples(admin)
    stats = epoll.loop.stats()

    assert value(found, "aioadapt_requests_total", engine="epoll") == 7
    name = "aioadapt_request_duration_seconds"
    assert value(found, f"{name}_count", engine="epoll") == 7
    assert value(found, f"{name}_sum", engine="epoll") == stats.answering_s
    assert value(found, f"{name}_bucket", engine="epoll", le="+Inf") == 7
    assert (
        value(found, "aioadapt_received_bytes_total", engine="epoll") == stats.bytes_in
    )
    assert value(found, "aioadapt_sent_bytes_total", engine="epoll") == stats.bytes_out
    assert value(found, "aioadapt_accepted_connections_total", engine="epoll") == 1
    assert value(found, "aioadapt_active", engine="epoll") == 1


def test_buckets_only_grow_towards_the_slow_end(
    seen: Seen, admin: RunningAdmin
) -> None:
    (epoll,) = seen.threads
    with answering(epoll) as port:
        run(exchange(port, requests=20))

    name = "aioadapt_request_duration_seconds_bucket"
    buckets = {
        float(dict(labels)["le"]): count
        for (found, labels), count in samples(admin).items()
        if found == name
    }

    counts = [buckets[bound] for bound in sorted(buckets)]
    assert counts == sorted(counts)
    assert counts[-1] == 20
    assert len(counts) > 20


async def talk_and_move(
    seen: Seen, port: int, one: LoopThread, other: LoopThread
) -> aioadapt.DrainReport:
    """One connection; after its answer it moves to the other loop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readexactly(len(ANSWER))
    source, target = (one, other) if one.connections else (other, one)
    report = await seen.migrator.drain(source, to=target)
    writer.close()
    await writer.wait_closed()
    return report


def test_moves_and_their_pauses_are_what_the_migrator_has_counted(
    seen: Seen, admin: RunningAdmin
) -> None:
    (one,) = seen.threads
    with LoopThread("epoll") as other, answering(one, other) as port:
        report = run(talk_and_move(seen, port, one, other))
    assert report.moved == 1

    found = samples(admin)

    assert value(found, "aioadapt_moves_total", source="epoll", target="epoll") == 1
    name = "aioadapt_move_pause_seconds"
    assert value(found, f"{name}_count") == 1
    assert value(found, f"{name}_sum") == report.pauses_s[0] > 0
    assert value(found, f"{name}_bucket", le="+Inf") == 1
    moves = [
        value(found, "aioadapt_engine_moves_total", engine="epoll", way=way)
        for way in ("in", "out")
    ]
    assert sorted(moves) == [0, 1]


def test_what_was_left_is_counted_by_its_reason(
    seen: Seen, admin: RunningAdmin
) -> None:
    """The target has no server at that address, so it refuses."""
    (source,) = seen.threads
    with LoopThread("epoll") as target, answering(source) as port:
        report = run(talk_and_move(seen, port, source, target))
    assert report.moved == 0
    ((reason, _),) = report.left.items()

    found = samples(admin)

    assert value(found, "aioadapt_left_connections_total", reason=reason) == 1
    assert value(found, "aioadapt_returned_connections_total") == report.returned
    assert value(found, "aioadapt_move_pause_seconds_count") == 0


def test_decisions_and_switches_are_counted_by_kind(admin: RunningAdmin) -> None:
    found = samples(admin)

    assert value(found, "aioadapt_decisions_total", verdict="stay") == 7
    assert value(found, "aioadapt_decisions_total", verdict="switch") == 1
    assert value(found, "aioadapt_switches_total", source="epoll", target="uring") == 1


def test_the_server_is_described(admin: RunningAdmin) -> None:
    found = samples(admin)

    assert (
        value(
            found,
            "aioadapt_server_info",
            app="shop:app",
            python="CPython 3.13.1 with the GIL",
            start="no workload hint",
        )
        == 1
    )
    assert value(found, "aioadapt_adapting") == 1
    assert value(found, "aioadapt_migrating") == 1


def test_without_prometheus_client_the_answer_names_the_extra(
    admin: RunningAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "aioadapt.serving.metrics", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(AdminError) as refused:
        admin.client.get("/metrics")

    assert "501" in str(refused.value)
    assert 'pip install "aioadapt[metrics]"' in str(refused.value)
    assert admin.client.state()["app"] == "shop:app"

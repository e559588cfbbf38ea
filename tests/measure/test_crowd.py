"""The load client's counters, against a server that makes each mistake."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from faulty_server import Asked, Respond, rightly, wrongly

from aioadapt.measure.crowd import Crowd
from aioadapt.measure.paths import Paths
from aioadapt.measure.wire import pattern

from .load_server import LoadServer, answer

FAULTS = ("failed", "lost", "duplicated", "misrouted")
SUMS = (
    *("asked", "requests", "seconds", "bytes_in"),
    *("opened", "closed", "closed_by_server", "per_slot", *FAULTS),
)
LOAD: dict[str, Any] = {"connections": 4, "seconds": 0.15, "spin": False}


@contextmanager
def crowd_at(port: int, *, most: int = 16, patience_s: float = 5.0) -> Iterator[Crowd]:
    crowd = Crowd("127.0.0.1", port, Paths(pattern()), most=most, patience_s=patience_s)
    try:
        yield crowd
    finally:
        crowd.close()


def run_against(
    respond: Respond, *, patience_s: float = 5.0, enough: int = 20, **load: Any
) -> dict[str, Any]:
    """Run until the chosen request and more than *enough* in total were made.

    That takes one run, or several on a busy machine; their counts are added up.
    """
    with (
        LoadServer(respond) as server,
        crowd_at(server.port, patience_s=patience_s) as crowd,
    ):
        counted = crowd.run(**{**LOAD, **load})
        runs = 1
        while counted["requests"] <= enough or not server.was_asked_the_one:
            assert (runs := runs + 1) <= 100, counted
            more = crowd.run(**{**LOAD, **load})
            counted = {**more, **{name: counted[name] + more[name] for name in SUMS}}
        return counted


def faults(counted: dict[str, Any]) -> dict[str, int]:
    return {fault: counted[fault] for fault in FAULTS if counted[fault]}


def test_right_answers_are_all_counted_and_none_is_wrong() -> None:
    counted = run_against(rightly)

    assert faults(counted) == {}
    assert counted["asked"] == counted["requests"] > 20
    assert (counted["opened"], counted["closed_by_server"]) == (4, 0)
    assert sum(counted["per_slot"]) == counted["requests"]
    assert 0 < counted["p50_s"] <= counted["p99_s"] <= counted["max_s"] < 5


def with_bytes(make: Callable[[Asked], bytes]) -> Respond:
    async def respond(asked: Asked) -> None:
        asked.writer.write(make(asked))
        await asked.writer.drain()

    return wrongly(respond)


async def close_unanswered(asked: Asked) -> None:
    asked.writer.close()


async def close_in_the_middle(asked: Asked) -> None:
    asked.writer.write(asked.right[:-7])
    asked.writer.close()


def changed(asked: Asked, offset: int) -> bytes:
    right = bytearray(asked.right)
    right[offset] ^= 1
    return bytes(right)


@pytest.mark.parametrize(
    ("respond", "expected"),
    [
        (
            with_bytes(lambda a: answer(1, 5, a.size, status="500 Oops")),
            {"failed": 1},
        ),
        (
            with_bytes(lambda a: b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"),
            {"failed": 1},
        ),
        (with_bytes(lambda a: changed(a, -1)), {"failed": 1}),
        (with_bytes(lambda a: changed(a, -100)), {"failed": 1}),
        (with_bytes(lambda a: answer(1, 5, a.size + 1)), {"failed": 1}),
        (with_bytes(lambda a: answer(1, 5, a.size - 1)), {"failed": 1}),
        (with_bytes(lambda a: b"220 smtp.example.org\r\n\r\n"), {"failed": 1}),
        (with_bytes(lambda a: b"HTTP/1.1 200 OK\r\n\r\n"), {"failed": 1}),
        (with_bytes(lambda a: answer(2, 5, a.size)), {"misrouted": 1}),
        (with_bytes(lambda a: answer(1, 6, a.size)), {"misrouted": 1}),
        (with_bytes(lambda a: a.right + a.right), {"duplicated": 1}),
        (with_bytes(lambda a: answer(1, 4, a.size) + a.right), {"duplicated": 1}),
        (with_bytes(lambda a: a.right + b"x"), {"duplicated": 1}),
        (wrongly(close_unanswered), {"lost": 1}),
        (wrongly(close_in_the_middle), {"lost": 1}),
    ],
    ids=[
        "another status",
        "an error page",
        "a wrong last byte",
        "a wrong byte",
        "a byte more",
        "a byte less",
        "no HTTP",
        "no length",
        "somebody else's answer",
        "an answer out of order",
        "answered twice",
        "answered again, later",
        "a stray byte",
        "closed, unanswered",
        "closed in the middle of the answer",
    ],
)
def test_each_mistake_is_found_and_named(
    respond: Respond, expected: dict[str, int]
) -> None:
    counted = run_against(respond)

    assert faults(counted) == expected
    # It continues on the other connections, and on a new one if necessary.
    assert counted["requests"] > 20
    answered_wrongly = sum(expected.values()) - expected.get("duplicated", 0)
    assert counted["asked"] == counted["requests"] + answered_wrongly


def test_a_request_that_nobody_answers_is_lost_when_patience_ends() -> None:
    async def never(asked: Asked) -> None:
        pass

    counted = run_against(wrongly(never), patience_s=2.0)

    assert faults(counted) == {"lost": 1}
    assert counted["seconds"] >= 2.0


def test_an_answer_may_come_in_any_pieces() -> None:
    async def in_pieces(asked: Asked) -> None:
        for byte in asked.right:
            asked.writer.write(bytes([byte]))
            await asyncio.sleep(0)

    counted = run_against(wrongly(in_pieces))

    assert faults(counted) == {}
    assert counted["asked"] == counted["requests"]


def test_a_large_answer_is_compared_to_its_last_byte() -> None:
    right = run_against(rightly, body_bytes=1 << 20, connections=2)
    wrong = run_against(
        with_bytes(lambda a: changed(a, -1)), body_bytes=1 << 18, connections=1
    )

    assert faults(right) == {}
    assert right["bytes_in"] > right["requests"] << 20
    assert faults(wrong) == {"failed": 1}


def test_a_connection_closed_between_requests_is_no_fault_and_is_opened_again() -> None:
    async def answer_and_close(asked: Asked) -> None:
        await rightly(asked)
        asked.writer.close()

    counted = run_against(wrongly(answer_and_close), think_s=0.01)

    assert faults(counted) == {}
    assert (counted["closed_by_server"], counted["opened"]) == (1, 5)


def test_a_server_that_is_not_there_is_refusing_not_losing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with crowd_at(port) as crowd:
        counted = crowd.run(**LOAD)

    assert faults(counted) == {}
    assert counted["refused"] >= 4
    assert counted["requests"] == 0


def test_a_ramp_keeps_the_connections_that_stay() -> None:
    with LoadServer() as server, crowd_at(server.port) as crowd:
        counts = []
        asked_by = []
        for connections in (4, 12, 2, 12):
            server.asked_by.clear()
            counts.append(crowd.run(**{**LOAD, "connections": connections}))
            while len(server.asked_by) < connections:
                crowd.run(**{**LOAD, "connections": connections})
            asked_by.append(set(server.asked_by))

    assert [count["opened"] for count in counts] == [4, 8, 0, 10]
    assert [count["closed"] for count in counts] == [0, 0, 10, 0]
    assert asked_by[2] < asked_by[0] < asked_by[1]
    assert asked_by[2] < asked_by[3]
    assert [len(each) for each in asked_by] == [4, 12, 2, 12]
    assert server.accepted == 22


def test_churning_connections_leave_after_their_requests() -> None:
    counted = run_against(rightly, enough=40, requests_per_connection=5)

    assert faults(counted) == {}
    assert counted["closed"] >= 4
    # The last connections are still in use when the time is up.
    assert 5 * counted["closed"] <= counted["asked"] <= 5 * counted["opened"]


def test_a_mix_asks_for_some_large_answers() -> None:
    counted = run_against(rightly, enough=200, large_bytes=50_000, large_share=0.25)

    assert faults(counted) == {}
    mean_bytes = counted["bytes_in"] / counted["requests"]
    assert 50_000 * 0.1 < mean_bytes < 50_000 * 0.5


def test_who_thinks_asks_less_often() -> None:
    counted = run_against(rightly, connections=8, think_s=0.05, seconds=0.5)

    assert faults(counted) == {}
    # Ten pauses per half second on each connection, apart from response times.
    assert counted["requests"] <= 8 * 14 * counted["seconds"] / 0.5


@pytest.mark.parametrize("spin", [False, True])
def test_it_ends_when_its_time_is_over(spin: bool) -> None:
    counted = run_against(rightly, spin=spin)

    assert counted["seconds"] >= 0.15
    assert faults(counted) == {}


def test_what_it_cannot_do_is_refused() -> None:
    with LoadServer() as server, crowd_at(server.port, most=2) as crowd:
        with pytest.raises(ValueError, match="made for 2"):
            crowd.run(connections=3, seconds=0.1)
        with pytest.raises(ValueError, match="24 bytes"):
            crowd.run(connections=1, seconds=0.1, body_bytes=23)
        crowd.close()
        with pytest.raises(ValueError, match="closed"):
            crowd.run(connections=1, seconds=0.1)
    with pytest.raises(ValueError, match="not an IPv4 address"):
        Crowd("localhost", 80, Paths(pattern()), most=1)

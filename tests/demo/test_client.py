"""The verifying client reports every kind of error, and nothing else."""

import asyncio
import os
import socket

import pytest
from faulty_server import Asked, Respond, rightly, wrongly

from demo.client import Crowd

from .demo_server import DemoServer

RIGHT = {"failed": 0, "lost": 0, "duplicated": 0, "misrouted": 0}


def talk(
    respond: Respond = rightly,
    *,
    requests: int = 400,
    connections: int = 4,
    visitors: int = 0,
    think_s: float = 0.0,
    patience_s: float = 10.0,
) -> Crowd:
    with DemoServer(respond) as server:
        crowd = Crowd(
            server.address,
            connections=connections,
            engines=["epoll", "uring"],
            think_s=think_s,
            visitors=visitors,
            requests=requests,
            seed=1,
            patience_s=patience_s,
        )
        crowd.run()
    return crowd


def faults(crowd: Crowd) -> dict[str, int]:
    return crowd.faults.as_counts()


def test_right_answers_are_no_fault() -> None:
    crowd = talk()
    assert crowd.faults.examples == []
    assert faults(crowd) == RIGHT
    assert crowd.answers["epoll"] >= 400
    assert crowd.answers["uring"] == 0


def test_it_grows_and_shrinks_as_told_and_those_that_stay_are_not_reopened() -> None:
    commands, orders = os.pipe()
    steps = [16, 3, 8]
    connected: list[int] = []

    def look() -> None:
        if crowd.standing()["connected"] != steps[len(connected)]:
            return
        connected.append(steps[len(connected)])
        if len(connected) == len(steps):
            os.close(orders)
        else:
            # In two parts: a command may arrive in pieces.
            os.write(orders, b'{"connections": %d' % steps[len(connected)])
            os.write(orders, b"}\n")

    with DemoServer(rightly) as server:
        crowd = Crowd(
            server.address,
            connections=16,
            engines=["epoll", "uring"],
            think_s=0.001,
            visitors=0,
            seed=1,
            patience_s=5.0,
        )
        try:
            crowd.run(commands, look)
        finally:
            os.close(commands)
    assert connected == steps
    assert crowd.opened == 16 + 5
    assert faults(crowd) == RIGHT


def test_the_think_time_changes_while_it_runs() -> None:
    """From zero to half a minute: the test ends only because requests stop."""
    commands, orders = os.pipe()
    looks: list[int] = []
    told_at: list[int] = []

    def look() -> None:
        looks.append(crowd.standing()["requests"])
        if not told_at and looks[-1] > 20:
            told_at.append(len(looks))
            os.write(orders, b'{"think_s": 30}\n')
        elif told_at and len(looks) > told_at[0] + 3 and looks[-1] == looks[-4]:
            crowd.stop()

    with DemoServer(rightly) as server:
        crowd = Crowd(
            server.address,
            connections=2,
            engines=["epoll"],
            visitors=0,
            gets=True,
            seed=1,
            report_every_s=0.05,
        )
        try:
            crowd.run(commands, look)
        finally:
            os.close(commands)
            os.close(orders)
    assert told_at
    assert faults(crowd) == RIGHT


def test_with_no_visitors_none_come_later_either() -> None:
    with DemoServer() as server:
        crowd = Crowd(
            server.address,
            connections=4,
            engines=["epoll"],
            visitors=0,
            requests=4000,
            seed=1,
            report_every_s=0.01,
        )
        crowd.run(report=lambda: crowd.resize(16))
    assert crowd.opened == 16
    assert server.goodbyes == 0
    assert faults(crowd) == RIGHT


def test_gets_are_sent_one_at_a_time() -> None:
    sizes: list[int] = []

    async def note(asked: Asked) -> None:
        sizes.append(asked.size)
        await rightly(asked)

    with DemoServer(note) as server:
        crowd = Crowd(
            server.address, connections=3, engines=["epoll"], gets=True, requests=100
        )
        crowd.run()
    assert len(sizes) >= 100
    assert set(sizes) <= {0, len(b"the last one")}
    assert server.chunked == 0
    assert crowd.answered == crowd.opened >= 3
    assert faults(crowd) == RIGHT


def test_the_slowest_response_is_reported_for_each_interval() -> None:
    async def slow(asked: Asked) -> None:
        await asyncio.sleep(0.3)
        await rightly(asked)

    slowest: list[float] = []
    with DemoServer(wrongly(slow)) as server:
        crowd = Crowd(
            server.address,
            connections=1,
            engines=["epoll"],
            visitors=0,
            think_s=0.01,
            seed=1,
            report_every_s=0.1,
        )

        def look() -> None:
            slowest.append(crowd.standing()["slowest_since_report_s"])
            if max(slowest) >= 0.3 and slowest[-1] < 0.3:
                crowd.stop()

        crowd.run(report=look)
    assert crowd.slowest_s >= 0.3
    assert crowd.slowest_s == max(slowest)
    assert faults(crowd) == RIGHT


def test_answers_may_arrive_in_any_pieces() -> None:
    async def byte_by_byte(asked: Asked) -> None:
        for at in range(len(asked.right)):
            asked.writer.write(asked.right[at : at + 1])
            await asyncio.sleep(0)

    async def respond(asked: Asked) -> None:
        small = len(asked.right) < 1000
        await (byte_by_byte if small else rightly)(asked)

    crowd = talk(respond, requests=100)
    assert crowd.faults.examples == []
    assert faults(crowd) == RIGHT


def test_a_lost_answer_is_lost() -> None:
    async def nothing(asked: Asked) -> None:
        pass

    assert faults(talk(wrongly(nothing), patience_s=1.0)) == {**RIGHT, "lost": 1}


def test_an_answer_given_twice_is_duplicated() -> None:
    async def twice(asked: Asked) -> None:
        asked.writer.write(asked.right * 2)

    assert faults(talk(wrongly(twice))) == {**RIGHT, "duplicated": 1}


def test_bytes_that_nobody_asked_for_are_duplicated() -> None:
    async def and_more(asked: Asked) -> None:
        asked.writer.write(asked.right)
        asked.writer.write(b"x" * 64)

    counts = faults(talk(wrongly(and_more)))
    # If a request is in flight, they are where its answer should be.
    assert counts["duplicated"] + counts["failed"] == 1
    assert counts["misrouted"] == 0


def test_two_connections_answers_exchanged_are_misrouted() -> None:
    waiting: list[Asked] = []
    exchanged = asyncio.Event()

    async def exchange(asked: Asked) -> None:
        if asked.sequence != 5 or asked.connection > 2:
            await rightly(asked)
            return
        waiting.append(asked)
        if len(waiting) < 2:
            await exchanged.wait()
            return
        first, second = waiting
        first.writer.write(second.right)
        second.writer.write(first.right)
        exchanged.set()

    assert faults(talk(exchange)) == {**RIGHT, "misrouted": 2}


@pytest.mark.parametrize("place", [-1, 30])
def test_one_other_byte_is_a_failure(place: int) -> None:
    """The last byte, and one in the head that does not change its meaning."""

    async def other_byte(asked: Asked) -> None:
        answer = bytearray(asked.right)
        answer[place] ^= 0x20
        asked.writer.write(answer)

    counts = faults(talk(wrongly(other_byte)))
    assert counts["failed"] >= 1
    assert counts["duplicated"] == counts["misrouted"] == 0


def test_another_status_is_a_failure() -> None:
    async def error(asked: Asked) -> None:
        asked.writer.write(
            b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops"
        )

    assert faults(talk(wrongly(error))) == {**RIGHT, "failed": 1}


def test_an_answer_cut_off_by_a_close_is_lost() -> None:
    async def half(asked: Asked) -> None:
        asked.writer.write(asked.right[: len(asked.right) // 2])
        raise ConnectionError

    counts = faults(talk(wrongly(half)))
    assert counts["lost"] >= 1  # and any requests pipelined after it
    assert {**counts, "lost": 0} == RIGHT


def test_a_keep_alive_connection_that_the_server_closes_is_a_fault() -> None:
    async def close(asked: Asked) -> None:
        asked.writer.write(asked.right)
        raise ConnectionError

    counts = faults(talk(wrongly(close), requests=60, think_s=0.02))
    assert counts["failed"] + counts["lost"] >= 1
    assert counts["duplicated"] == counts["misrouted"] == 0


def test_no_connection_is_a_failure() -> None:
    with socket.socket() as held:  # bound, but not listening
        held.bind(("127.0.0.1", 0))
        nobody_there = held.getsockname()
        crowd = Crowd(nobody_there, connections=1, visitors=0, engines=["epoll"])
        crowd.run(report=crowd.stop)
    assert faults(crowd)["failed"] >= 1
    assert crowd.opened == 0


def test_visitors_come_and_go_and_nobody_minds() -> None:
    with DemoServer() as server:
        crowd = Crowd(
            server.address,
            connections=8,
            visitors=8,
            engines=["epoll"],
            requests=3000,
            seed=2,
        )
        crowd.run()
    assert crowd.faults.examples == []
    assert faults(crowd) == RIGHT
    assert crowd.opened > 16
    assert server.goodbyes > 0
    assert server.chunked > 0


def test_a_change_of_engine_between_two_answers_is_seen() -> None:
    async def engine_of_the_ten(asked: Asked) -> None:
        uring = asked.sequence // 10 % 2 == 1
        name = b"uring" if uring else b"epoll"
        asked.writer.write(
            asked.right.replace(b"x-engine: epoll", b"x-engine: " + name)
        )

    crowd = talk(engine_of_the_ten, connections=1, requests=100)
    assert faults(crowd) == RIGHT
    proof = crowd.outcome()["proof"]
    assert proof["connection"] == 1
    assert proof["runs"][:4] == [
        ("epoll", 0),
        ("uring", 10),
        ("epoll", 20),
        ("uring", 30),
    ]
    assert crowd.changes["epoll>uring"] >= 4

"""redis-py's asyncio client, unchanged, against a real Redis."""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio as redis
from integrations.proof import assert_carried, running_engine
from integrations.redis_server import RedisServer
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

BIG = bytes(range(256)) * 4096 * 8  # eight mebibytes


@pytest.fixture(params=["tcp", "unix", "tls"])
def options(
    request: pytest.FixtureRequest, redis_server: RedisServer
) -> dict[str, Any]:
    """The options for each of the three ways to connect."""
    found: dict[str, dict[str, Any]] = {
        "tcp": {"host": "127.0.0.1", "port": redis_server.port},
        "unix": {"unix_socket_path": str(redis_server.socket)},
        "tls": {
            "host": "127.0.0.1",
            "port": redis_server.tls_port,
            "ssl": True,
            "ssl_ca_certs": str(redis_server.trust),
        },
    }
    return found[request.param]


def client(server: RedisServer, **options: Any) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=server.port, **options)


@pytest.mark.ours_only
@pytest.mark.consumer("redis-py")
def test_the_line_of_the_page_runs_it(
    follow: Callable[..., Any], loop_kind: str, redis_server: RedisServer
) -> None:
    async def main() -> str:
        async with client(redis_server) as server:
            assert await server.ping()
        return running_engine()

    assert follow(main=main) == loop_kind


async def test_values_go_there_and_back_by_every_door(
    loop: AbstractEventLoop, options: dict[str, Any]
) -> None:
    async with redis.Redis(**options) as server:
        await server.set("small", b"\x00\r\n\xff")
        assert await server.get("small") == b"\x00\r\n\xff"
        await server.set("big", BIG)
        assert await server.get("big") == BIG
        await server.delete("small", "big")
    assert_carried(loop, len(BIG))


async def test_ten_thousand_commands_are_answered_in_order(
    redis_server: RedisServer,
) -> None:
    async with client(redis_server) as server:
        pipeline = server.pipeline(transaction=False)
        for number in range(10_000):
            pipeline.incrby("pipelined", number)
        answers = await pipeline.execute()
        assert answers == [number * (number + 1) // 2 for number in range(10_000)]
        await server.delete("pipelined")


async def test_fifty_connections_at_once(redis_server: RedisServer) -> None:
    async def user(server: redis.Redis) -> None:
        for _ in range(20):
            await server.incr("counted")

    async with client(redis_server) as server:
        await asyncio.gather(*(user(server) for _ in range(50)))
        assert await server.getdel("counted") == b"1000"


async def test_a_subscriber_hears_what_is_published(redis_server: RedisServer) -> None:
    async with client(redis_server) as server, server.pubsub() as heard:
        await heard.subscribe("news")
        assert (await _next_message(heard))["type"] == "subscribe"
        for number in range(100):
            assert await server.publish("news", number) == 1
        for number in range(100):
            assert (await _next_message(heard))["data"] == b"%d" % number


async def _next_message(heard: Any) -> dict[str, Any]:
    while True:
        message: dict[str, Any] | None = await heard.get_message(timeout=10)
        if message is not None:
            return message


async def test_a_blocked_pop_is_woken_and_another_is_cancelled(
    redis_server: RedisServer,
) -> None:
    async with client(redis_server) as server:
        waiting: asyncio.Future[Any]
        waiting = asyncio.ensure_future(server.blpop(["queue"], timeout=0))
        await _until_somebody_is_blocked(server)
        await server.rpush("queue", "work")
        assert [*await waiting] == [b"queue", b"work"]

        given_up = asyncio.ensure_future(server.blpop(["queue"], timeout=0))
        await _until_somebody_is_blocked(server)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        # A late answer must not be taken for that of another command.
        assert await server.echo("still here") == b"still here"


async def _until_somebody_is_blocked(server: redis.Redis) -> None:
    while (await server.info("clients"))["blocked_clients"] == 0:
        pass


async def test_a_connection_that_the_server_ends_is_reported_then_replaced(
    redis_server: RedisServer,
) -> None:
    async with (
        client(redis_server) as killer,
        client(
            redis_server, single_connection_client=True, retry=Retry(NoBackoff(), 0)
        ) as victim,
    ):
        own = await victim.client_id()
        assert await killer.client_kill_filter(_id=str(own)) == 1
        with pytest.raises(redis.ConnectionError):
            await victim.ping()
        assert await victim.ping()
        assert await victim.client_id() != own

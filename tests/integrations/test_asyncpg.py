"""asyncpg, unchanged, against a real PostgreSQL: a protocol on the loop's transports."""

import asyncio
import io
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from integrations.postgresql import DATABASE, DOORS, ENCRYPTED, PostgreSQL
from integrations.proof import assert_carried, running_engine

BIG = bytes(range(256)) * 4096 * 8  # eight mebibytes


def options_for(server: PostgreSQL, door: str = "unix") -> dict[str, Any]:
    # For "tls", asyncpg asks the server, then calls the loop's start_tls.
    trust = server.trust if door == "tls" else False
    return {**server.options(door), "database": DATABASE, "ssl": trust}


@asynccontextmanager
async def connected(
    server: PostgreSQL, door: str = "unix"
) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**options_for(server, door))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.ours_only
@pytest.mark.consumer("asyncpg")
def test_the_line_of_the_page_runs_it(
    follow: Callable[..., Any], loop_kind: str, postgresql: PostgreSQL
) -> None:
    async def main() -> str:
        async with connected(postgresql) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        return running_engine()

    assert follow(main=main) == loop_kind


@pytest.mark.parametrize("door", DOORS)
async def test_values_go_there_and_back_by_every_door(
    loop: AbstractEventLoop, postgresql: PostgreSQL, door: str
) -> None:
    async with connected(postgresql, door) as connection:
        assert await connection.fetchval("SELECT $1::int + 1", 41) == 42
        assert await connection.fetchval("SELECT $1::bytea", BIG) == BIG
        assert await connection.fetchval(ENCRYPTED) is (door == "tls")
    assert_carried(loop, len(BIG))


async def test_a_pool_serves_many_at_once(postgresql: PostgreSQL) -> None:
    async def user(pool: asyncpg.Pool, number: int) -> None:
        for _ in range(10):
            async with pool.acquire() as connection, connection.transaction():
                assert await connection.fetchval("SELECT $1::int", number) == number

    options = options_for(postgresql)
    async with asyncpg.create_pool(min_size=10, max_size=10, **options) as pool:
        await asyncio.gather(*(user(pool, number) for number in range(40)))


async def test_rows_are_copied_in_and_out(postgresql: PostgreSQL) -> None:
    rows = [(number, f"row {number}") for number in range(20_000)]

    async with connected(postgresql) as connection:
        await connection.execute("CREATE TEMP TABLE copied (id int, text text)")
        await connection.copy_records_to_table("copied", records=rows)
        found = await connection.fetch("SELECT id, text FROM copied ORDER BY id")
        assert [tuple(row) for row in found] == rows
        out = io.BytesIO()
        query = "SELECT id FROM copied ORDER BY id"
        await connection.copy_from_query(query, output=out)
        assert out.getvalue() == b"".join(b"%d\n" % number for number, _ in rows)


async def test_a_cursor_is_read_piece_by_piece(postgresql: PostgreSQL) -> None:
    async with connected(postgresql) as connection, connection.transaction():
        query = "SELECT generate_series(1, 1000)"
        cursor = connection.cursor(query, prefetch=7)
        assert [row[0] async for row in cursor] == [*range(1, 1001)]


async def test_a_listener_is_notified(postgresql: PostgreSQL) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    def hear(_: Any, pid: int, channel: str, payload: str) -> None:
        heard.put_nowait(payload)

    async with connected(postgresql) as listener, connected(postgresql) as speaker:
        await listener.add_listener("news", hear)
        for number in range(50):
            await speaker.execute(f"NOTIFY news, '{number}'")
        assert [await heard.get() for _ in range(50)] == [
            str(number) for number in range(50)
        ]
        await listener.remove_listener("news", hear)


async def test_a_query_is_given_up_by_its_timeout_and_by_a_cancel(
    postgresql: PostgreSQL,
) -> None:
    """asyncpg cancels the query over a second connection, and the first still works."""

    async with connected(postgresql) as connection:
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(60)", timeout=0.05)
        assert await connection.fetchval("SELECT 1") == 1

        async with connected(postgresql) as watcher:
            sleeping = asyncio.ensure_future(connection.execute("SELECT pg_sleep(61)"))
            await _until_it_sleeps(watcher, connection.get_server_pid())
            sleeping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sleeping
        assert await connection.fetchval("SELECT 2") == 2


async def _until_it_sleeps(watcher: asyncpg.Connection, pid: int) -> None:
    query = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1"
    while not await watcher.fetchval(query, pid):
        pass


async def test_a_connection_that_the_server_ends_is_reported(
    postgresql: PostgreSQL,
) -> None:
    async with connected(postgresql) as killer:
        victim = await asyncpg.connect(**options_for(postgresql))
        ended = asyncio.Event()
        victim.add_termination_listener(lambda _: ended.set())
        pid = victim.get_server_pid()
        assert await killer.fetchval("SELECT pg_terminate_backend($1)", pid)
        await ended.wait()
        assert victim.is_closed()
        with pytest.raises(asyncpg.InterfaceError):
            await victim.fetchval("SELECT 1")


async def test_a_wrong_password_is_refused(postgresql: PostgreSQL) -> None:
    options = {**options_for(postgresql, "tcp"), "password": "wrong"}
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(**options)

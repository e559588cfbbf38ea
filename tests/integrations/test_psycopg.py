"""psycopg, unchanged, against a real PostgreSQL.

libpq reads and writes; psycopg uses the loop only to wait for the socket, with a
reader or a writer for each wait.
"""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from integrations.postgresql import DATABASE, DOORS, ENCRYPTED, PostgreSQL
from integrations.proof import assert_woken, running_engine

BIG = bytes(range(256)) * 4096 * 4  # four mebibytes
Connection = psycopg.AsyncConnection[Any]


@asynccontextmanager
async def connected(
    server: PostgreSQL, door: str = "unix"
) -> AsyncIterator[Connection]:
    connection = await psycopg.AsyncConnection.connect(
        dbname=DATABASE,
        sslmode="require" if door == "tls" else "disable",
        autocommit=True,
        **server.options(door),
    )
    async with connection:
        yield connection


async def value(connection: Connection, query: str, *arguments: Any) -> Any:
    cursor = await connection.execute(query, arguments, binary=True)
    row = await cursor.fetchone()
    assert row is not None
    return row[0]


@pytest.mark.ours_only
@pytest.mark.consumer("psycopg")
def test_the_line_of_the_page_runs_it(
    follow: Callable[..., Any], loop_kind: str, postgresql: PostgreSQL
) -> None:
    async def main() -> str:
        async with connected(postgresql) as connection:
            assert await value(connection, "SELECT 1") == 1
        return running_engine()

    assert follow(main=main) == loop_kind


@pytest.mark.parametrize("door", DOORS)
async def test_values_go_there_and_back_by_every_door(
    loop: AbstractEventLoop, postgresql: PostgreSQL, door: str
) -> None:
    async with connected(postgresql, door) as connection:
        assert await value(connection, "SELECT %s::int + 1", 41) == 42
        assert await value(connection, "SELECT %s::bytea", BIG) == BIG
        assert await value(connection, ENCRYPTED) is (door == "tls")
    assert_woken(loop, 4)


async def test_twenty_connections_at_once(postgresql: PostgreSQL) -> None:
    async def user(name: int) -> None:
        async with connected(postgresql) as connection:
            for number in range(10):
                query = "SELECT %s::int * 1000 + %s::int"
                assert await value(connection, query, name, number) == (
                    name * 1000 + number
                )

    await asyncio.gather(*(user(name) for name in range(20)))


async def test_rows_are_copied_in_and_out(postgresql: PostgreSQL) -> None:
    async with connected(postgresql) as connection, connection.cursor() as cursor:
        await cursor.execute("CREATE TEMP TABLE copied (id int, text text)")
        async with cursor.copy("COPY copied FROM STDIN") as copy_in:
            for number in range(20_000):
                await copy_in.write_row((number, f"row {number}"))
        query = "COPY (SELECT id FROM copied ORDER BY id) TO STDOUT"
        async with cursor.copy(query) as copy_out:
            found = [row[0] async for row in copy_out.rows()]
        assert found == [str(number) for number in range(20_000)]


async def test_a_pipeline_answers_in_order(postgresql: PostgreSQL) -> None:
    async with connected(postgresql) as connection:
        async with connection.pipeline():
            cursors = [
                await connection.execute("SELECT %s::int", (number,))
                for number in range(500)
            ]
            rows = [await cursor.fetchone() for cursor in cursors]
        assert rows == [(number,) for number in range(500)]


async def test_a_listener_is_notified(postgresql: PostgreSQL) -> None:
    async with connected(postgresql) as listener, connected(postgresql) as speaker:
        await listener.execute("LISTEN news")
        for number in range(50):
            await speaker.execute("SELECT pg_notify('news', %s)", (f"{number}",))
        notes = listener.notifies(stop_after=50, timeout=15)
        heard = [note.payload async for note in notes]
        assert heard == [str(number) for number in range(50)]


async def test_a_task_that_is_cancelled_cancels_its_query(
    postgresql: PostgreSQL,
) -> None:
    async with (
        connected(postgresql) as connection,
        connected(postgresql) as watcher,
    ):
        sleeping = asyncio.ensure_future(connection.execute("SELECT pg_sleep(60)"))
        pid = connection.info.backend_pid
        query = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %s"
        while not await value(watcher, query, pid):
            pass
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        assert await value(connection, "SELECT 1") == 1


async def test_a_connection_that_the_server_ends_is_reported(
    postgresql: PostgreSQL,
) -> None:
    async with connected(postgresql) as victim, connected(postgresql) as killer:
        pid = victim.info.backend_pid
        assert await value(killer, "SELECT pg_terminate_backend(%s)", pid)
        with pytest.raises(psycopg.OperationalError):
            await victim.execute("SELECT pg_sleep(60)")
        assert victim.broken

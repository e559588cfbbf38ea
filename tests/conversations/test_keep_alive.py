"""Thousands of responses over one connection, each sent in pieces that come apart.

With netty's io_uring transport some responses on a reused connection never arrived
(its issue 17049): reading stopped when the application had not asked for more just as
bytes came, and was not started again.  So here a reader with a small limit stops and
starts reading all the time, over TCP and over TLS.
"""

import asyncio
import random
import ssl
from typing import Any

import pytest

RESPONSE_WITHIN_S = 10.0
SMALL = 2_048
"""The limit of the client's reader: it pauses the transport above twice of it."""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Each line names the sizes of the pieces to answer with."""
    while line := await reader.readline():
        for size in map(int, line.split()):
            writer.write(b"x" * size)
            if size % 2:
                await asyncio.sleep(0)
        await writer.drain()
    writer.close()


async def ask(count: int, contexts: Any, dice: random.Random) -> None:
    server_context, client_context = contexts
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context)
    async with server:
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(),
            ssl=client_context,
            server_hostname="localhost" if client_context else None,
            limit=SMALL,
        )
        for _ in range(count):
            sizes = [dice.choice([1, 500, 2_049, 9_000]) for _ in range(10)]
            writer.write(b" ".join(b"%d" % size for size in sizes) + b"\n")
            async with asyncio.timeout(RESPONSE_WITHIN_S):
                await reader.readexactly(sum(sizes))
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("count", [300, pytest.param(50_000, marks=[pytest.mark.soak])])
@pytest.mark.timeout(600)
def test_every_response_on_a_reused_connection_arrives(
    count: int,
    secure: bool,
    loop: asyncio.AbstractEventLoop,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    contexts = (server_context, client_context) if secure else (None, None)

    loop.run_until_complete(ask(count, contexts, random.Random(count)))

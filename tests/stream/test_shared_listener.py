"""Servers that share a listening socket by duplicates also share its blocking mode."""

import asyncio
import os
import socket

import pytest

import aioadapt


@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_a_duplicate_that_makes_the_socket_blocking_holds_nobody_up(
    engine: str,
) -> None:
    """socket.dup() can make the shared socket blocking, and a blocking accept would
    hold the GIL until a client connects."""
    if engine == "uring" and not aioadapt.uring_support().available:
        pytest.skip(aioadapt.uring_support().reason)

    async def main() -> None:
        made: asyncio.Queue[asyncio.Transport] = asyncio.Queue()

        class Note(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                made.put_nowait(transport)

        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = await loop.create_server(Note, sock=listener.dup())
            for _ in range(2):
                with listener.dup() as another:
                    assert os.get_blocking(another.fileno())
                    with socket.create_connection(listener.getsockname()):
                        # Reached only if nothing blocks in accept().
                        transport = await asyncio.wait_for(made.get(), 10)
                        transport.abort()
                        await asyncio.sleep(0)
            server.close()
            await server.wait_closed()

    aioadapt.run(main(), engine=engine)


def test_an_adaptive_servers_duplicates_never_make_its_socket_blocking() -> None:
    from aioadapt.serving.listening import Listening

    listening = Listening([socket.create_server(("127.0.0.1", 0))])
    try:
        first = listening.duplicates()
        second = listening.duplicates()
        assert [os.get_blocking(s.fileno()) for s in (*first, *second)] == [False] * 2
        for sock in (*first, *second):
            sock.close()
    finally:
        listening.close()

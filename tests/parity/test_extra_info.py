"""get_extra_info: which transport answers which of asyncio's documented keys."""

import asyncio
import inspect
import os
import socket
import ssl
import subprocess
from asyncio import AbstractEventLoop
from asyncio.subprocess import PIPE
from typing import Any

import pytest
from loops import Run

from .peers import serving
from .protocols import Echo, Recorder

ABSENT = "absent"
DOCUMENTED = {
    "peername",
    "socket",
    "sockname",
    "compression",
    "cipher",
    "peercert",
    "sslcontext",
    "ssl_object",
    "pipe",
    "subprocess",
}


def known(transport: asyncio.BaseTransport) -> dict[str, Any]:
    """The documented keys that it has, with their values."""
    answers = {key: transport.get_extra_info(key, ABSENT) for key in DOCUMENTED}
    assert transport.get_extra_info("no such key") is None
    return {key: answer for key, answer in answers.items() if answer is not ABSENT}


async def test_what_a_tcp_transport_knows(loop: AbstractEventLoop) -> None:
    async with serving(Echo) as place:
        transport, client = await loop.create_connection(Recorder, *place.address)
        answers = known(transport)
        assert answers.keys() == {"peername", "socket", "sockname"}
        assert answers["peername"] == place.address
        assert isinstance(answers["socket"], asyncio.trsock.TransportSocket)
        assert answers["sockname"] == answers["socket"].getsockname()
        transport.close()
        await client.lost()


async def test_what_both_ends_of_tls_know(
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    accepted: list[Recorder] = []

    def accept() -> Recorder:
        accepted.append(Recorder())
        return accepted[-1]

    async with serving(accept, ssl=server_context) as place:
        transport, client = await place.connect_tls(client_context)
        (server,) = accepted
        await server.made()
        for end, context in (
            (transport, client_context),
            (server.transport, server_context),
        ):
            answers = known(end)
            assert answers.keys() == DOCUMENTED - {"pipe", "subprocess"}
            assert answers["sslcontext"] is context
            assert isinstance(answers["ssl_object"], ssl.SSLObject)
            assert answers["compression"] is None
            name, protocol, bits = answers["cipher"]
            assert (type(name), protocol, type(bits)) == (str, "TLSv1.3", int)
            assert isinstance(answers["socket"], asyncio.trsock.TransportSocket)
        assert known(transport)["peername"] == place.address
        assert known(server.transport)["sockname"] == place.address
        assert known(transport)["peercert"]["subjectAltName"]
        assert not known(server.transport)["peercert"]
        transport.close()
        await client.lost()
        await server.lost()


async def test_what_a_pipe_knows(loop: AbstractEventLoop) -> None:
    class Piped(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.note("connection_made")

    read_end, write_end = os.pipe()
    reader, writer = os.fdopen(read_end, "rb", 0), os.fdopen(write_end, "wb", 0)
    reading, one = await loop.connect_read_pipe(Piped, reader)
    writing, other = await loop.connect_write_pipe(Piped, writer)
    assert known(reading) == {"pipe": reader}
    assert known(writing) == {"pipe": writer}
    writing.close()
    await other.lost()
    await one.lost()


async def test_what_a_child_process_knows() -> None:
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    transport = process._transport  # type: ignore[attr-defined]
    answers = known(transport)
    assert answers.keys() == {"subprocess"}
    assert isinstance(answers["subprocess"], subprocess.Popen)
    assert answers["subprocess"].pid == process.pid == transport.get_pid()
    assert transport.get_pipe_transport(0).get_extra_info("pipe")
    assert transport.get_pipe_transport(1).get_extra_info("pipe")
    assert transport.get_pipe_transport(2) is None
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0


KEEPS_ALIVE = (
    "keep_alive" in inspect.signature(asyncio.BaseEventLoop.create_server).parameters
)


@pytest.mark.skipif(not KEEPS_ALIVE, reason="new in 3.13")
@pytest.mark.parametrize("keep_alive", [True, False, None])
async def test_a_server_keeps_its_connections_alive_if_told_to(
    keep_alive: bool | None,
) -> None:
    async with serving(Echo, keep_alive=keep_alive) as place:
        (sock,) = place.server.sockets
        kept = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert bool(kept) is bool(keep_alive)


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"interleave": 1}, ["v6 a", "v4 a", "v6 b", "v4 b"]),
        ({"interleave": 2}, ["v6 a", "v6 b", "v4 a", "v4 b"]),
        ({"happy_eyeballs_delay": 5.0}, ["v6 a", "v4 a", "v6 b", "v4 b"]),
        (
            {"interleave": 0, "happy_eyeballs_delay": 5.0},
            ["v6 a", "v6 b", "v4 a", "v4 b"],
        ),
        ({}, ["v6 a", "v6 b", "v4 a", "v4 b"]),
    ],
)
def test_families_are_tried_in_the_order_asked_for(
    loop: AbstractEventLoop, run: Run, options: Any, order: list[str]
) -> None:
    infos = [
        (family, socket.SOCK_STREAM, 6, "", (host, 1))
        for family, host in [
            (socket.AF_INET6, "v6 a"),
            (socket.AF_INET6, "v6 b"),
            (socket.AF_INET, "v4 a"),
            (socket.AF_INET, "v4 b"),
        ]
    ]
    tried = []

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        return infos

    async def sock_connect(sock: socket.socket, address: Any) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError(111, f"refused by {address[0]}")

    async def main() -> None:
        loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]
        loop.sock_connect = sock_connect  # type: ignore[method-assign]
        with pytest.raises(OSError, match="refused by"):
            await loop.create_connection(Recorder, "a name", 1, **options)

    run(main())
    assert tried == order

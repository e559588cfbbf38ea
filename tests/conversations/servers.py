"""Servers of many protocols, each an echo, on the running loop."""

import asyncio
import functools
import os
import random
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import hypercorn.asyncio
import hypercorn.config
import websockets.asyncio.server
from uvicorn_server import served

Address = str | tuple[str, int]
"""The path of a Unix socket, or host and port."""


SMALL = 16_384
"""Bytes that the kernel buffers for a raw server, so that much waits in the transport."""


class Tls(NamedTuple):
    server: ssl.SSLContext
    """It offers HTTP/2 to those who ask for it."""
    client: ssl.SSLContext


async def echo(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dice: random.Random
) -> None:
    """Until the end, with pauses, during which the transport pauses reading."""
    try:
        while data := await reader.read(dice.choice([1, 300, 70_000])):
            writer.write(data)
            await writer.drain()
            if dice.random() < 0.02:
                await asyncio.sleep(0.003)
    except ConnectionError:
        pass
    finally:
        writer.close()


async def echo_after_start_tls(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    dice: random.Random,
    context: ssl.SSLContext,
) -> None:
    assert await reader.readline() == b"STARTTLS\n"
    writer.write(b"go ahead\n")
    await writer.start_tls(context)
    await echo(reader, writer, dice)


async def send_files(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Each line is echoed as a line before and a file of its bytes, a thousand times."""
    try:
        while line := await reader.readline():
            writer.write(line)
            with tempfile.TemporaryFile() as file:
                file.write(line * 1000)
                file.seek(0)
                await asyncio.get_running_loop().sendfile(writer.transport, file)
    finally:
        writer.close()


async def asgi_echo(scope: Any, receive: Any, send: Any) -> None:
    """The body, in pieces, and the header "tag"."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            name = (await receive())["type"]
            await send({"type": f"{name}.complete"})
        return
    headers = [(name, value) for name, value in scope["headers"] if name == b"tag"]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        body = message.get("body", b"")
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def websocket_echo(
    connection: websockets.asyncio.server.ServerConnection,
) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def raw(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    unix: bool = False,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Address]:
    if unix:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            async with await asyncio.start_unix_server(serve, path, ssl=tls):
                yield path
        return
    sock = socket.create_server(("127.0.0.1", 0))
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, buffer, SMALL)
    async with await asyncio.start_server(serve, sock=sock, ssl=tls):
        yield sock.getsockname()


@asynccontextmanager
async def websocket(tls: ssl.SSLContext | None) -> AsyncIterator[Address]:
    async with websockets.asyncio.server.serve(
        websocket_echo, "127.0.0.1", 0, ssl=tls, max_size=None
    ) as server:
        yield next(iter(server.sockets)).getsockname()[:2]


class _Hypercorn(hypercorn.config.Config):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    ssl_enabled = True

    def create_ssl_context(self) -> ssl.SSLContext:
        return self._context


@asynccontextmanager
async def on_hypercorn(context: ssl.SSLContext) -> AsyncIterator[Address]:
    config = _Hypercorn(context)
    config.errorlog = None
    stop = asyncio.Event()
    sock = socket.create_server(("127.0.0.1", 0))
    config.bind = [f"fd://{sock.fileno()}"]
    serving = asyncio.ensure_future(
        hypercorn.asyncio.serve(asgi_echo, config, shutdown_trigger=stop.wait)
    )
    try:
        yield sock.getsockname()
    finally:
        stop.set()
        await serving
        sock.detach()  # hypercorn has closed it


def server_of(kind: str, dice: random.Random, tls: Tls) -> Any:
    """The server for conversations of this kind: a context manager with its Address."""
    match kind:
        case "tcp" | "unix" | "reset":
            return raw(functools.partial(echo, dice=dice), unix=kind == "unix")
        case "tls":
            return raw(functools.partial(echo, dice=dice), tls=tls.server)
        case "start_tls":
            return raw(
                functools.partial(echo_after_start_tls, dice=dice, context=tls.server)
            )
        case "sendfile":
            return raw(send_files)
        case "websocket" | "websocket over tls":
            return websocket(tls.server if "tls" in kind else None)
        case "http/1 with h11" | "http/1 with httptools":
            return served(asgi_echo, http=kind.rsplit(maxsplit=1)[-1])
        case "http/2 with zttp":
            return served(asgi_echo, http="zttp", http2=True, tls=tls.server)
        case "http/2 with hypercorn":
            return on_hypercorn(tls.server)
    raise ValueError(kind)


KINDS = (
    "tcp",
    "unix",
    "reset",
    "tls",
    "start_tls",
    "sendfile",
    "websocket",
    "websocket over tls",
    "http/1 with h11",
    "http/1 with httptools",
    "http/2 with zttp",
    "http/2 with hypercorn",
)

"""A WebSocket and a TLS download whose connections change engines in mid-stream.

    pip install websockets trustme
    python examples/changing_engines.py

All four connections, those of the clients too, are on one AdaptiveEventLoop.  Every
millisecond each of them is given the other engine; neither side can tell.
"""

import asyncio
import hashlib
import os
import ssl
from typing import cast

import trustme
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

import aioadapt

FILE = os.urandom(20_000_000)
MESSAGES = 1000


async def change_engines(transports: list[asyncio.BaseTransport]) -> None:
    loop = cast(aioadapt.AdaptiveEventLoop, asyncio.get_running_loop())
    while True:
        for transport in transports:
            engine = transport.get_extra_info("engine")
            loop.swap(transport, "epoll" if engine == "uring" else "uring")
        await asyncio.sleep(0.001)


async def websocket() -> str:
    on_server: list[asyncio.BaseTransport] = []

    async def echo(peer: ServerConnection) -> None:
        on_server.append(peer.transport)
        async for message in peer:
            await peer.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as client:
            await client.send("first")
            await client.recv()
            changing = asyncio.create_task(
                change_engines([client.transport, *on_server])
            )
            right = 0
            for number in range(MESSAGES):
                await client.send(f"message {number}")
                right += await client.recv() == f"message {number}"
            changing.cancel()
    return f"{right} of {MESSAGES} messages came back"


async def download() -> str:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)

    async def send_file(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        changing = asyncio.create_task(change_engines([writer.transport]))
        writer.write(FILE)
        await writer.drain()
        changing.cancel()
        writer.close()

    server = await asyncio.start_server(send_file, "localhost", 0, ssl=server_context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "localhost", port, ssl=client_context
        )
        changing = asyncio.create_task(change_engines([writer.transport]))
        got = await reader.readexactly(len(FILE))
        changing.cancel()
        writer.close()
    is_same = hashlib.sha256(got).digest() == hashlib.sha256(FILE).digest()
    return f"{len(got):,} bytes over TLS, {'the same' if is_same else 'NOT the same'}"


async def main() -> None:
    loop = cast(aioadapt.AdaptiveEventLoop, asyncio.get_running_loop())
    for what in (websocket, download):
        before = loop.stats().swaps
        said = await what()
        print(f"{said}; {loop.stats().swaps - before:,} changes of the engine")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=aioadapt.AdaptiveEventLoop) as runner:
        runner.run(main())

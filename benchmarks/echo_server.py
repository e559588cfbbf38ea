"""An echo server on any event loop: ``python -m benchmarks.echo_server --loop uvloop``.

Prints its port, and exits when its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any, cast

from benchmarks.lifeline import NOT_INSTALLED, announce, when_input_ends
from benchmarks.loops import NotInstalledError, factory_of

MODES = ("protocol", "buffered", "streams")
"""The ways to write a TCP echo; UDP has only one, "datagrams"."""

#: More than any number of connections that is measured.  A client connects them all
#: at the same time, and with a full queue a connect would take a second.
BACKLOG = 4096

#: The size that asyncio reads with.
BUFFER_BYTES = 256 * 1024


class Echo(asyncio.Protocol):
    __slots__ = ("transport",)

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    __slots__ = ("buffer", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(BUFFER_BYTES))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        # A copy, because a transport may keep the bytes until they are sent, and the
        # next read overwrites the buffer.
        self.transport.write(bytes(self.buffer[:nbytes]))


class DatagramEcho(asyncio.DatagramProtocol):
    __slots__ = ("transport",)

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


async def echo_stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(mode: str) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    if mode == "datagrams":
        transport, _ = await loop.create_datagram_endpoint(
            DatagramEcho, local_addr=("127.0.0.1", 0)
        )
        when_input_ends(lambda: loop.call_soon_threadsafe(stopped.set))
        announce(transport.get_extra_info("sockname")[1])
        await stopped.wait()
        transport.close()
        return
    if mode == "streams":
        server = await asyncio.start_server(
            echo_stream, "127.0.0.1", 0, backlog=BACKLOG
        )
    else:
        protocol = Echo if mode == "protocol" else BufferedEcho
        server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=BACKLOG)
    when_input_ends(lambda: loop.call_soon_threadsafe(stopped.set))
    announce(server.sockets[0].getsockname()[1])
    await stopped.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.echo_server", description=__doc__
    )
    parser.add_argument(
        "--loop", default="asyncio", help="the name of a loop, or module:factory"
    )
    parser.add_argument("--mode", default="protocol", choices=(*MODES, "datagrams"))
    options = parser.parse_args()
    try:
        with asyncio.Runner(loop_factory=factory_of(options.loop)) as runner:
            runner.run(serve(options.mode))
    except NotInstalledError as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_INSTALLED)


if __name__ == "__main__":
    main()

"""Protocols of every kind that raise in one callback or in all of them.

The exception handler's calls, the later calls of the protocol and what its peer
sees are the same as on asyncio's loop.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest

from .lives import BIG, Life, lived

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Particular(Exception):
    pass


class Basic(BaseException):
    pass


ERRORS = {
    "Exception": Particular,
    "BaseException": Basic,
    "OSError": lambda text: OSError(5, text),
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": SystemExit,
}

ALL = "every callback"


class Raising(asyncio.BaseProtocol):
    transport: Any = None

    def __init__(self, life: Life, where: str, error: Callable[[str], Any]) -> None:
        self.life = life
        self.where = where
        self.error = error
        self.calls: list[str] = []
        self.buffer = bytearray(1000)

    def called(self, name: str, said: str = "") -> None:
        # Escape from the loop only once, because some callbacks are called again.
        again = name in self.calls and self.error in (KeyboardInterrupt, SystemExit)
        self.calls.append(name)
        self.life.see(f"{name}{said}")
        if self.where in (name, ALL) and not again:
            raise self.error(name)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.called("connection_made")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.called("connection_lost", f" {exc!r}")

    def pause_writing(self) -> None:
        self.called("pause_writing")

    def resume_writing(self) -> None:
        self.called("resume_writing")

    def eof_received(self) -> None:
        self.called("eof_received")


class RaisingStream(Raising, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self.called("data_received")


class RaisingBuffered(Raising, asyncio.BufferedProtocol):
    def get_buffer(self, sizehint: int) -> bytearray:
        # The number of calls of get_buffer is not specified.
        if "get_buffer" not in self.calls:
            self.called("get_buffer")
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.called("buffer_updated")


class RaisingDatagrams(Raising, asyncio.DatagramProtocol):
    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.called("datagram_received")

    def error_received(self, exc: Exception) -> None:
        self.called("error_received", f" {exc!r}")


class RaisingProcess(Raising, asyncio.SubprocessProtocol):
    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.called("pipe_data_received")

    def pipe_connection_lost(self, fd: int, exc: Any) -> None:
        self.called("pipe_connection_lost", f" {fd}")

    def process_exited(self) -> None:
        self.called("process_exited")


async def stream_life(life: Life, protocol: Raising) -> None:
    """Tries to reach every callback of the protocol."""
    sock, peer = life.tcp()
    made = asyncio.ensure_future(
        life.loop.connect_accepted_socket(lambda: protocol, sock)
    )
    await life.until(lambda: protocol.calls)
    transport = protocol.transport
    life.bench.transports.append(transport)
    peer.send(b"x")
    received = {"data_received", "buffer_updated"}
    await life.until(lambda: received & set(protocol.calls) or transport.is_closing())
    if not transport.is_closing():
        try:
            transport.write(BIG)
        except (KeyboardInterrupt, SystemExit) as error:
            life.see(f"write raises {error!r}")
        await life.until(lambda: "pause_writing" in protocol.calls)
        size = 0
        while size < len(BIG):
            size += len(await life.loop.sock_recv(peer, 1 << 20))
        await life.until(lambda: "resume_writing" in protocol.calls)
        peer.shutdown(socket.SHUT_WR)
    await life.until(lambda: "connection_lost" in protocol.calls)
    life.see(await life.read_to_end(peer))
    await made


async def datagram_life(life: Life, protocol: Raising) -> None:
    peer = life.bench.sock(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("127.0.0.1", 0))
    made = asyncio.ensure_future(
        life.loop.create_datagram_endpoint(
            lambda: protocol, remote_addr=peer.getsockname()
        )
    )
    await life.until(lambda: protocol.calls)
    transport = protocol.transport
    life.bench.transports.append(transport)
    peer.sendto(b"x", transport.get_extra_info("sockname"))
    await life.until(
        lambda: "datagram_received" in protocol.calls or transport.is_closing()
    )
    if not transport.is_closing():
        peer.close()
        # The kernel answers with "connection refused".
        transport.sendto(b"x")
        await life.until(
            lambda: "error_received" in protocol.calls or transport.is_closing()
        )
    transport.close()
    await life.until(lambda: "connection_lost" in protocol.calls)
    await made


OBEYING = """
import os
for order in iter(lambda: os.read({orders}, 1), b""):
    os.write(1, order) if order == b"w" else os.close(int(order))
"""


async def process_life(life: Life, protocol: Raising) -> None:
    """The process does one thing at a time, so that the order of events is fixed."""
    orders, giving = life.bench.pipe()
    with orders:
        starting = life.loop.subprocess_exec(
            lambda: protocol,
            *(sys.executable, "-S", "-c", OBEYING.format(orders=orders.fileno())),
            pass_fds=[orders.fileno()],
        )
        await life.attempt(starting)
    await life.until(lambda: protocol.calls)

    async def order(what: bytes) -> None:
        called = len(protocol.calls)
        giving.write(what)
        await life.until(lambda: len(protocol.calls) > called)

    for what in (b"w", b"1", b"2", b"0"):
        await order(what)
    giving.close()
    await life.until(lambda: "connection_lost" in protocol.calls)


STREAM = ["connection_made", "connection_lost", "pause_writing", "resume_writing"]
LIVES: dict[str, tuple[Any, Any, list[str]]] = {
    "Protocol": (
        RaisingStream,
        stream_life,
        [*STREAM, "data_received", "eof_received", ALL],
    ),
    "BufferedProtocol": (
        RaisingBuffered,
        stream_life,
        [*STREAM, "get_buffer", "buffer_updated", "eof_received", ALL],
    ),
    "DatagramProtocol": (
        RaisingDatagrams,
        datagram_life,
        [*STREAM[:2], "datagram_received", "error_received", ALL],
    ),
    "SubprocessProtocol": (
        RaisingProcess,
        process_life,
        [
            *STREAM[:2],
            "pipe_data_received",
            "pipe_connection_lost",
            "process_exited",
            ALL,
        ],
    ),
}
CASES = [
    (protocol, where, error)
    for protocol, (_, _, wheres) in LIVES.items()
    for where in wheres
    for error in ERRORS
]


def life_of(kind: str, protocol: str, where: str, error: str) -> list[str]:
    make, through, _ = LIVES[protocol]

    async def live(life: Life) -> None:
        await through(life, make(life, where, ERRORS[error]))

    return lived(kind, live)


@lru_cache
def expected(protocol: str, where: str, error: str) -> list[str]:
    return life_of("asyncio", protocol, where, error)


@pytest.mark.parametrize("protocol", LIVES)
@pytest.mark.parametrize("error", ERRORS)
def test_a_protocol_that_raises_is_met_as_asyncio_meets_it(
    protocol: str, error: str, ours: str
) -> None:
    wrong = []
    for where in LIVES[protocol][2]:
        theirs = expected(protocol, where, error)
        own = life_of(ours, protocol, where, error)
        if theirs != own:
            wrong.append(f"in {where}\n  asyncio: {theirs}\n  {ours}: {own}")
    assert not wrong, "\n".join(wrong)

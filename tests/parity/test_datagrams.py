"""UDP and Unix datagrams through asyncio's endpoint API."""

import asyncio
import contextlib
import socket
from asyncio import AbstractEventLoop
from pathlib import Path
from typing import cast

import pytest
from loops import Run

from .protocols import Changing


class Datagrams(Changing, asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        super().__init__()
        self.received: list[tuple[bytes, object]] = []
        self.errors: list[Exception] = []
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Before 3.12 asyncio's own transport is not a DatagramTransport.
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: object) -> None:
        self.received.append((data, address))
        self.changed()

    def error_received(self, error: Exception) -> None:
        self.errors.append(error)
        self.changed()

    def connection_lost(self, exc: BaseException | None) -> None:
        assert exc is None
        self.is_lost = True
        self.changed()

    async def got(self, count: int) -> list[tuple[bytes, object]]:
        await self.until(lambda: len(self.received) >= count)
        return self.received

    async def close(self) -> None:
        self.transport.close()
        await self.until(lambda: self.is_lost)


class DatagramEcho(Datagrams):
    def datagram_received(self, data: bytes, address: object) -> None:
        super().datagram_received(data, address)
        self.transport.sendto(data, address)  # type: ignore[arg-type]


async def test_datagrams_come_back(loop: AbstractEventLoop) -> None:
    server_transport, server = await loop.create_datagram_endpoint(
        DatagramEcho, local_addr=("127.0.0.1", 0)
    )
    address = server_transport.get_extra_info("sockname")
    transport, client = await loop.create_datagram_endpoint(
        Datagrams, remote_addr=address
    )
    assert transport.get_extra_info("peername") == address
    for number in range(100):
        transport.sendto(b"%d" % number)
        assert (await client.got(number + 1))[-1] == (b"%d" % number, address)
    big = bytes(60_000)
    transport.sendto(big)
    assert (await client.got(101))[-1] == (big, address)
    await client.close()
    await server.close()


async def test_an_unconnected_endpoint_sends_where_it_is_told(
    loop: AbstractEventLoop,
) -> None:
    _, one = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    _, two = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    names = [each.transport.get_extra_info("sockname") for each in (one, two)]
    one.transport.sendto(b"to two", names[1])
    assert await two.got(1) == [(b"to two", names[0])]
    await one.close()
    await two.close()


async def test_a_port_nobody_listens_on_is_an_error_received(
    loop: AbstractEventLoop, closed_udp_port: tuple[str, int]
) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, remote_addr=closed_udp_port
    )
    transport.sendto(b"anybody?")
    await protocol.until(lambda: protocol.errors)
    assert isinstance(protocol.errors[0], ConnectionRefusedError)
    assert not transport.is_closing()
    await protocol.close()


async def test_a_connected_endpoint_sends_nowhere_else(
    loop: AbstractEventLoop, closed_udp_port: tuple[str, int]
) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, remote_addr=closed_udp_port
    )
    with pytest.raises(ValueError):
        transport.sendto(b"x", ("127.0.0.1", 9))
    await protocol.close()


async def test_unix_datagrams(loop: AbstractEventLoop, tmp_path: Path) -> None:
    path = str(tmp_path / "theirs")

    ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.bind(str(tmp_path / "ours"))
    theirs = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.bind(path)
    theirs.connect(str(tmp_path / "ours"))
    ours.setblocking(False)
    _, one = await loop.create_datagram_endpoint(Datagrams, sock=ours)
    theirs.send(b"one")
    theirs.send(b"two")
    assert await one.got(2) == [(b"one", path), (b"two", path)]
    one.transport.sendto(b"back", path)
    theirs.settimeout(5)
    assert theirs.recv(100) == b"back"
    await one.close()
    theirs.close()


async def test_abort_closes_an_endpoint(loop: AbstractEventLoop) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    transport.abort()
    assert transport.is_closing()
    await protocol.until(lambda: protocol.is_lost)


def test_addresses_are_whole_whatever_family_came_before(
    loop: AbstractEventLoop, run: Run
) -> None:
    """The endpoints of a loop share the memory into which the kernel writes
    addresses, and an IPv6 address is longer than an IPv4 one."""

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for family, host in [
                (socket.AF_INET, "127.0.0.1"),
                (socket.AF_INET6, "::1"),
                (socket.AF_INET, "127.0.0.1"),
                (socket.AF_INET6, "::1"),
            ]:
                _, server = await loop.create_datagram_endpoint(
                    Datagrams, local_addr=(host, 0), family=family
                )
                stack.push_async_callback(server.close)
                with socket.socket(family, socket.SOCK_DGRAM) as peer:
                    peer.bind((host, 0))
                    address = server.transport.get_extra_info("sockname")
                    peer.sendto(b"hello", address)
                    assert await server.got(1) == [(b"hello", peer.getsockname())]

    if not has_ipv6():
        pytest.skip("no IPv6 on the loopback interface")
    run(main())


async def test_an_address_is_not_taken_for_one_of_another_family(
    loop: AbstractEventLoop,
) -> None:
    """The endpoints of a loop share its cache of the addresses they sent to."""
    if not has_ipv6():
        pytest.skip("no IPv6 on the loopback interface")
    async with contextlib.AsyncExitStack() as stack:
        endpoints = []
        for host in ("127.0.0.1", "::1"):
            _, endpoint = await loop.create_datagram_endpoint(
                Datagrams, local_addr=(host, 0)
            )
            stack.push_async_callback(endpoint.close)
            endpoints.append(endpoint)
        ipv4, ipv6 = endpoints
        address = ipv4.transport.get_extra_info("sockname")

        ipv4.transport.sendto(b"by IPv4", address)
        ipv6.transport.sendto(b"by IPv6", address)

        assert await ipv4.got(1) == [(b"by IPv4", address)]
        await ipv6.until(lambda: ipv6.errors)
        assert [type(error) for error in ipv6.errors] == [socket.gaierror]


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            return False
    return True

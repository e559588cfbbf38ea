"""What an endpoint refuses and reports, and what its methods return."""

import asyncio
import socket
import sys
from asyncio import AbstractEventLoop
from pathlib import Path
from typing import Any

import pytest
from loops import Reported

from .test_datagrams import DatagramEcho, Datagrams


async def test_the_transport_is_asyncios(loop: AbstractEventLoop) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    if sys.version_info >= (3, 12):
        assert isinstance(transport, asyncio.DatagramTransport)
    assert isinstance(transport, asyncio.Transport)
    sock = transport.get_extra_info("socket")
    assert isinstance(sock, asyncio.trsock.TransportSocket)
    assert sock.type == socket.SOCK_DGRAM
    assert transport.get_extra_info("sockname") == sock.getsockname()
    assert transport.get_extra_info("peername", "absent") is None
    assert transport.get_extra_info("compression", "absent") == "absent"
    assert transport.is_reading()
    await protocol.close()
    assert transport.is_closing()


@pytest.mark.ours_only
async def test_the_transport_is_a_datagram_transport_on_every_python(
    loop: AbstractEventLoop,
) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    assert isinstance(transport, asyncio.DatagramTransport)
    await protocol.close()


@pytest.mark.parametrize("data", ["text", 5, None, [1]])
async def test_only_bytes_can_be_sent(loop: AbstractEventLoop, data: Any) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    with pytest.raises(TypeError) as caught:
        transport.sendto(data, ("127.0.0.1", 9))
    assert str(caught.value) == (
        f"data argument must be a bytes-like object, not {type(data).__name__!r}"
    )
    await protocol.close()


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
async def test_everything_that_holds_bytes_can_be_sent(
    loop: AbstractEventLoop, make: Any
) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    transport.sendto(make(b"words"), transport.get_extra_info("sockname"))
    assert (await protocol.got(1))[0][0] == b"words"
    await protocol.close()


async def test_an_empty_datagram_is_sent_since_3_13(loop: AbstractEventLoop) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    name = transport.get_extra_info("sockname")
    transport.sendto(b"", name)
    transport.sendto(b"last", name)
    await protocol.until(lambda: (b"last", name) in protocol.received)
    sent = [b"", b"last"] if sys.version_info >= (3, 13) else [b"last"]
    assert [data for data, _ in protocol.received] == sent
    await protocol.close()


async def test_a_connected_endpoint_takes_its_own_address_and_no_other(
    loop: AbstractEventLoop,
) -> None:
    _, echo = await loop.create_datagram_endpoint(
        DatagramEcho, local_addr=("127.0.0.1", 0)
    )
    name = echo.transport.get_extra_info("sockname")
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, remote_addr=name
    )
    transport.sendto(b"named", name)
    assert await protocol.got(1) == [(b"named", name)]
    with pytest.raises(ValueError, match="Invalid address: must be None or") as it:
        transport.sendto(b"x", ("127.0.0.1", 9))
    assert str(it.value) == f"Invalid address: must be None or {name}"
    await protocol.close()
    await echo.close()


@pytest.mark.parametrize(
    ("address", "error"),
    [
        (None, TypeError),
        ("127.0.0.1", TypeError),
        (("127.0.0.1",), TypeError),
        (("127.0.0.1", "9"), TypeError),
        (("127.0.0.1", 1.5), TypeError),
        (("127.0.0.1\0", 9), TypeError),
        (("127.0.0.1", -1), OverflowError),
        (("127.0.0.1", 65536), OverflowError),
        (("127.0.0.1", 1 << 80), OverflowError),
    ],
)
async def test_what_is_no_address_ends_the_endpoint(
    loop: AbstractEventLoop, reported: Reported, address: Any, error: type[Exception]
) -> None:
    class Ends(Datagrams):
        end: BaseException | None = None

        def connection_lost(self, exc: BaseException | None) -> None:
            self.end = exc
            super().connection_lost(None)

    transport, protocol = await loop.create_datagram_endpoint(
        Ends, local_addr=("127.0.0.1", 0)
    )
    transport.sendto(b"x", address)
    await protocol.until(lambda: protocol.is_lost)
    assert isinstance(protocol.end, error)
    (context,) = reported
    assert context["message"] == "Fatal write error on datagram transport"
    assert context["exception"] is protocol.end
    assert context["transport"] is transport
    assert context["protocol"] is protocol
    reported.clear()


async def test_a_name_that_nobody_has_is_an_error_received(
    loop: AbstractEventLoop,
) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    transport.sendto(b"x", ("::1", 9))
    (error,) = protocol.errors
    assert isinstance(error, socket.gaierror)
    assert not transport.is_closing()
    await protocol.close()


async def test_a_name_is_looked_up(loop: AbstractEventLoop) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    name = transport.get_extra_info("sockname")
    transport.sendto(b"x", ("localhost", name[1]))
    assert await protocol.got(1) == [(b"x", name)]
    await protocol.close()


async def test_a_datagram_too_long_is_an_error_received_while_it_is_sent(
    loop: AbstractEventLoop,
) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    transport.sendto(bytes(70_000), transport.get_extra_info("sockname"))
    assert [type(each) for each in protocol.errors] == [OSError]
    await protocol.close()


async def test_what_error_received_raises_while_sending_is_the_senders(
    loop: AbstractEventLoop,
) -> None:
    class Raises(Datagrams):
        def error_received(self, error: Exception) -> None:
            raise LookupError from error

    transport, protocol = await loop.create_datagram_endpoint(
        Raises, local_addr=("127.0.0.1", 0)
    )
    with pytest.raises(LookupError):
        transport.sendto(bytes(70_000), transport.get_extra_info("sockname"))
    assert not transport.is_closing()
    await protocol.close()


async def test_what_error_received_raises_while_reading_is_reported(
    loop: AbstractEventLoop, reported: Reported, closed_udp_port: tuple[str, int]
) -> None:
    class Raises(Datagrams):
        def error_received(self, error: Exception) -> None:
            super().error_received(error)
            raise LookupError

    transport, protocol = await loop.create_datagram_endpoint(
        Raises, remote_addr=closed_udp_port
    )
    transport.sendto(b"anybody?")
    await protocol.until(lambda: protocol.errors)
    assert not transport.is_closing()
    await protocol.close()
    assert [type(each["exception"]) for each in reported] == [LookupError]
    reported.clear()


async def test_connection_made_that_raises_is_reported(
    loop: AbstractEventLoop, reported: Reported
) -> None:
    class Raises(Datagrams):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise LookupError

    transport, protocol = await loop.create_datagram_endpoint(
        Raises, local_addr=("127.0.0.1", 0)
    )
    transport.sendto(b"alive", transport.get_extra_info("sockname"))
    await protocol.got(1)
    await protocol.close()
    assert [type(each["exception"]) for each in reported] == [LookupError]
    reported.clear()


async def test_sending_once_it_is_closed_does_nothing(
    loop: AbstractEventLoop,
    caplog: pytest.LogCaptureFixture,
    closed_udp_port: tuple[str, int],
) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, remote_addr=closed_udp_port
    )
    await protocol.close()
    for _ in range(10):
        transport.sendto(b"x")
    assert {each.message for each in caplog.records} == {
        "socket.send() raised exception."
    }
    transport.close()
    transport.abort()


async def test_a_datagram_sent_in_connection_lost_is_sent(
    loop: AbstractEventLoop,
) -> None:
    """The socket is still open there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))

        class SaysGoodbye(Datagrams):
            def connection_lost(self, exc: BaseException | None) -> None:
                self.transport.sendto(b"goodbye", peer.getsockname())
                super().connection_lost(exc)

        _, protocol = await loop.create_datagram_endpoint(
            SaysGoodbye, local_addr=("127.0.0.1", 0)
        )
        await protocol.close()
        assert peer.recv(100, socket.MSG_DONTWAIT) == b"goodbye"


async def test_a_descriptor_of_an_endpoint_cannot_be_watched(
    loop: AbstractEventLoop,
) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    fd = transport.get_extra_info("socket").fileno()
    with pytest.raises(RuntimeError, match="is used by transport"):
        loop.add_reader(fd, print)
    await protocol.close()


async def test_ipv6_addresses_have_four_parts(loop: AbstractEventLoop) -> None:
    try:
        transport, protocol = await loop.create_datagram_endpoint(
            Datagrams, local_addr=("::1", 0)
        )
    except OSError:
        pytest.skip("no IPv6 here")
    name = transport.get_extra_info("sockname")
    assert len(name) == 4
    for address in (name, name[:3], name[:2]):
        transport.sendto(b"x", address)
    assert await protocol.got(3) == 3 * [(b"x", name)]
    await protocol.close()


@pytest.mark.ours_only
async def test_a_unix_datagram_arrives_whole_however_long(
    loop: AbstractEventLoop, tmp_path: Path
) -> None:
    """asyncio reads 256 KiB of it and silently drops the rest."""

    ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.bind(str(tmp_path / "ours"))
    ours.setblocking(False)
    _, protocol = await loop.create_datagram_endpoint(Datagrams, sock=ours)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        longest = bytes(range(256)) * (
            (theirs.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 1024) // 256
        )
        assert len(longest) > 300_000
        theirs.sendto(longest, str(tmp_path / "ours"))
        await protocol.got(1)
        theirs.sendto(b"short", str(tmp_path / "ours"))
        await protocol.got(2)
    assert protocol.received == [(longest, None), (b"short", None)]
    await protocol.close()


@pytest.mark.ours_only
async def test_one_end_of_an_unnamed_pair_sends_to_the_other(
    loop: AbstractEventLoop,
) -> None:
    """asyncio cannot: it treats an empty name as a missing one."""

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    with theirs:
        transport, protocol = await loop.create_datagram_endpoint(Datagrams, sock=ours)
        transport.sendto(b"words")
        assert theirs.recv(100) == b"words"
        await protocol.close()

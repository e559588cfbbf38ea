"""What programs use of a transport besides its bytes."""

import asyncio
import gc
import socket
from asyncio import AbstractEventLoop, trsock
from typing import Any

import pytest
from loops import Run

from .peers import Wire, a_round_trip_elsewhere, connected, connecting, serving
from .protocols import BufferedRecorder, Recorder


async def test_a_transport_is_asyncios(wire: Wire) -> None:
    async with connected(Recorder, wire) as (server, _):
        assert isinstance(server.transport, asyncio.Transport)
    async with connecting(Recorder, wire) as (client, _):
        assert isinstance(client.transport, asyncio.Transport)


async def test_asyncios_own_words_for_paused_and_closing_can_be_read(
    wire: Wire,
) -> None:
    """They are private, but other projects' programs and tests read them anyway."""

    async with connected(Recorder, wire) as (protocol, _):
        transport: Any = protocol.transport
        assert not transport._paused
        transport.pause_reading()
        assert transport._paused
        transport.resume_reading()
        assert not transport._paused
        assert not transport._closing
        transport.abort()
        assert transport._closing


async def test_a_transports_methods_can_be_replaced(wire: Wire) -> None:
    """Tools wrap the ``write`` of one transport to trace or count."""

    async with connected(Recorder, wire) as (protocol, peer):
        transport = protocol.transport
        write, written = transport.write, []

        def watched(data: bytes) -> None:
            written.append(data)
            write(data)

        transport.write = watched  # type: ignore[method-assign, assignment]
        transport.anything = "at all"  # type: ignore[attr-defined]
        transport.write(b"watched")
        assert await peer.recv_exactly(7) == b"watched"
        assert written == [b"watched"]
        assert transport.anything == "at all"  # type: ignore[attr-defined]


async def test_extra_info_of_a_tcp_connection() -> None:
    async with connected(Recorder) as (protocol, peer):
        info = protocol.transport.get_extra_info
        assert info("peername") == peer.sock.getsockname()
        assert info("sockname") == peer.sock.getpeername()
        sock = info("socket")
        assert isinstance(sock, trsock.TransportSocket)
        assert sock.family == socket.AF_INET
        assert sock.type == socket.SOCK_STREAM
        assert sock.getsockname() == info("sockname")
        assert sock.getpeername() == info("peername")
        assert sock.gettimeout() == 0
        assert info("no such thing") is None
        assert info("no such thing", "default") == "default"
        assert info("sslcontext") is None


async def test_extra_info_of_a_unix_connection() -> None:
    async with connected(Recorder, "unix") as (protocol, peer):
        info = protocol.transport.get_extra_info
        assert info("peername") == ""
        assert info("sockname") == peer.sock.getpeername()
        assert info("socket").family == socket.AF_UNIX


async def test_extra_info_stays_after_the_end() -> None:
    async with connected(Recorder) as (protocol, peer):
        name = peer.sock.getsockname()
        protocol.transport.close()
        await protocol.lost()
        assert protocol.transport.get_extra_info("peername") == name


async def test_a_client_knows_both_addresses() -> None:
    async with connecting(Recorder) as (protocol, peer):
        info = protocol.transport.get_extra_info
        assert info("peername") == peer.sock.getsockname()
        assert info("sockname") == peer.sock.getpeername()


async def test_small_packets_are_not_held_back() -> None:
    """Nagle's algorithm and delayed acknowledgements together cost 40 ms."""

    async with connected(Recorder) as (accepted, _):
        sock = accepted.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    async with connecting(Recorder) as (connected_, _):
        sock = connected_.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.ours_only
async def test_sockets_made_without_naming_tcp_do_not_hold_back_either(
    loop: AbstractEventLoop,
) -> None:
    """asyncio looks at ``sock.proto``, which is 0 for ``socket.socket()``."""

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    accepted: asyncio.Future[Recorder] = loop.create_future()

    class Accepted(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            accepted.set_result(self)

    server = await loop.create_server(Accepted, sock=listener)
    client_socket = socket.socket()
    client_socket.setblocking(False)
    await loop.sock_connect(client_socket, listener.getsockname())
    transport, client = await loop.create_connection(Recorder, sock=client_socket)
    for each in (transport, (await accepted).transport):
        sock = each.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    transport.close()
    await client.lost()
    await (await accepted).lost()
    server.close()
    await server.wait_closed()


async def test_a_new_transport_is_open_and_reading(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, _):
        transport = protocol.transport
        assert not transport.is_closing()
        assert transport.is_reading()
        assert transport.get_write_buffer_size() == 0
        assert transport.get_protocol() is protocol
        transport.close()
        assert transport.is_closing()
        assert not transport.is_reading()


async def test_the_repr_tells_the_state(wire: Wire) -> None:
    async with connected(Recorder, wire) as (protocol, _):
        transport = protocol.transport
        assert "clos" not in repr(transport)
        transport.close()
        assert "clos" in repr(transport)
        await protocol.lost()
        assert "clos" in repr(transport)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Recorder, Recorder),
        (Recorder, BufferedRecorder),
        (BufferedRecorder, Recorder),
        (BufferedRecorder, BufferedRecorder),
    ],
)
async def test_a_protocol_can_be_exchanged_between_two_messages(
    wire: Wire,
    first: type[Recorder] | type[BufferedRecorder],
    second: type[Recorder] | type[BufferedRecorder],
) -> None:
    async with connected(first, wire) as (old, peer):
        transport = old.transport
        peer.send(b"for the old")
        await old.got(11)
        new = second()
        transport.set_protocol(new)
        assert transport.get_protocol() is new
        new.connection_made(transport)
        peer.send(b"for the new")
        assert await new.got(11) == b"for the new"
        assert old.received == b"for the old"
        transport.set_protocol(old)
        peer.send(b"!")
        assert await old.got(12) == b"for the old!"
        peer.finish_sending()
        await old.lost()
        assert not new.is_lost


async def test_a_protocol_exchanged_inside_data_received_gets_what_comes_next(
    wire: Wire,
) -> None:
    new = BufferedRecorder()

    class HandsOver(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            new.connection_made(self.transport)
            self.transport.set_protocol(new)

    async with connected(HandsOver, wire) as (old, peer):
        peer.send(b"first")
        await old.got(5)
        peer.send(b"second")
        assert await new.got(6) == b"second"
        old.transport.abort()
        await new.lost()
        assert not old.is_lost
        old.changed()
        old.calls.append("connection_lost")


async def test_a_protocol_exchanged_while_paused_gets_what_had_waited(
    wire: Wire,
) -> None:
    """This is how start_tls changes the protocol without losing the first record."""

    async with connected(Recorder, wire) as (old, peer):
        transport = old.transport
        transport.pause_reading()
        peer.send(b"waits")
        await a_round_trip_elsewhere()
        new = BufferedRecorder()
        new.connection_made(transport)
        transport.set_protocol(new)
        transport.resume_reading()
        assert await new.got(5) == b"waits"
        assert old.received == b""
        transport.set_protocol(old)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_transport_the_loop_was_closed_under_warns_and_closes_its_socket(
    loop: AbstractEventLoop, run: Run
) -> None:
    async def main() -> socket.socket:
        ours, theirs = socket.socketpair()
        await loop.create_connection(asyncio.Protocol, sock=ours)
        return theirs

    def close_and_drop() -> None:
        loop.close()
        gc.collect()

    theirs = run(main())
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        close_and_drop()
    theirs.settimeout(5)
    assert theirs.recv(1) == b""
    theirs.close()


def test_a_transport_can_be_kept_longer_than_its_connection(run: Run) -> None:
    async def main() -> list[asyncio.Transport]:
        kept = []
        for _ in range(3):
            async with connected(Recorder) as (protocol, _):
                kept.append(protocol.transport)
        return kept

    for transport in run(main()):
        assert transport.is_closing()
        assert transport.get_extra_info("socket").fileno() == -1


async def test_servers_and_their_connections_know_their_loop(
    loop: AbstractEventLoop,
) -> None:
    async with serving(Recorder) as place:
        assert place.server.get_loop() is loop

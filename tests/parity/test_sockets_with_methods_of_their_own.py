"""Socket classes that override what reads, writes or accepts: it is called."""

import asyncio
import socket
import ssl
import tempfile
from asyncio import AbstractEventLoop
from collections import Counter
from typing import Any

import pytest

from aioadapt._datagram.transport import NativeDatagramTransport
from aioadapt._stream.transport import StreamTransport
from aioadapt.native_loop import NativeLoop

from .protocols import BufferedRecorder, Echo, Recorder


class Rotates(socket.socket):
    """Every byte is one more on the wire; counts the calls of each method."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: Counter[str] = Counter()

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.calls["recv"] += 1
        return rotated(super().recv(size, flags), -1)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.calls["recv_into"] += 1
        data = rotated(super().recv(nbytes or len(buffer), flags), -1)
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: Any, flags: int = 0) -> int:
        self.calls["send"] += 1
        return super().send(rotated(data, 1), flags)

    def sendmsg(self, buffers: Any, *args: Any) -> int:
        self.calls["sendmsg"] += 1
        return super().send(rotated(b"".join(buffers), 1))

    def shutdown(self, how: int) -> None:
        self.calls["shutdown"] += 1
        super().shutdown(how)

    def getpeername(self) -> Any:
        return "the peer's name"


class RotatesDatagrams(socket.socket):
    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, Any]:
        data, address = super().recvfrom(size, flags)
        return rotated(data, -1), address

    def sendto(self, data: Any, *address: Any) -> int:
        return super().sendto(rotated(data, 1), *address)


def rotated(data: Any, by: int) -> bytes:
    return bytes((byte + by) % 256 for byte in bytes(data))


class Accepts(socket.socket):
    """Accepts connections of the other class."""

    def accept(self) -> tuple[socket.socket, Any]:
        sock, address = super().accept()
        return Rotates(fileno=sock.detach()), address


class Plain(socket.socket):
    """Adds something and overrides nothing."""

    purpose = "its own attribute"


def rotating_pair() -> tuple[Rotates, socket.socket]:
    ours, peer = socket.socketpair()
    peer.settimeout(10)
    return Rotates(fileno=ours.detach()), peer


@pytest.mark.parametrize("call", ["create_connection", "connect_accepted_socket"])
async def test_a_stream_is_read_and_written_through_its_methods(
    loop: AbstractEventLoop, call: str
) -> None:
    ours, peer = rotating_pair()
    with peer:
        if call == "create_connection":
            transport, protocol = await loop.create_connection(Recorder, sock=ours)
        else:
            transport, protocol = await loop.connect_accepted_socket(Recorder, ours)
        assert transport.get_extra_info("peername") == "the peer's name"
        peer.send(b"IBM")
        assert await protocol.got(3) == b"HAL"
        transport.write(b"HAL")
        transport.writelines([b"a", b"b"])
        assert peer.recv(3) + peer.recv(2) == b"IBMbc"
        transport.write_eof()
        assert peer.recv(1) == b""
        transport.close()
        await protocol.lost()
    assert ours.fileno() == -1
    assert min(ours.calls[name] for name in ("recv", "send", "shutdown")) >= 1


async def test_a_buffer_is_filled_through_its_methods(loop: AbstractEventLoop) -> None:
    ours, peer = rotating_pair()
    with peer:
        transport, protocol = await loop.create_connection(BufferedRecorder, sock=ours)
        peer.send(b"IBM")
        assert await protocol.got(3) == b"HAL"
        transport.abort()
        await protocol.lost()
    assert ours.calls["recv_into"] >= 1


async def test_more_than_the_socket_takes_is_sent_through_its_methods(
    loop: AbstractEventLoop,
) -> None:
    ours, peer = rotating_pair()
    data = bytes(range(256)) * 8000
    with peer:
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        transport.write(data)
        got = b""
        while len(got) < len(data):
            got += await asyncio.to_thread(peer.recv, 1 << 20)
        assert got == rotated(data, 1)
        assert protocol.calls[:3] == [
            "connection_made",
            "pause_writing",
            "resume_writing",
        ]
        transport.close()
        await protocol.lost()


async def test_a_server_accepts_through_its_methods(loop: AbstractEventLoop) -> None:
    listener = Accepts()
    listener.bind(("127.0.0.1", 0))
    server = await loop.create_server(Echo, sock=listener)
    for _ in range(3):
        with socket.create_connection(listener.getsockname()) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, b"hello")
            # Rotated once each way by the server, so unchanged.
            assert await loop.sock_recv(client, 100) == b"hello"
    address = listener.getsockname()
    server.close()
    await server.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


async def test_what_a_server_accepts_is_read_through_its_methods(
    loop: AbstractEventLoop,
) -> None:
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    listener = Accepts()
    listener.bind(("127.0.0.1", 0))
    server = await loop.create_server(factory, sock=listener)
    with socket.create_connection(listener.getsockname()) as client:
        client.send(b"IBM")
        while not made:
            await asyncio.sleep(0)
        assert await made[0].got(3) == b"HAL"
        made[0].transport.close()
        await made[0].lost()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("how", ["ssl=", "start_tls"])
async def test_tls_passes_through_its_methods(
    loop: AbstractEventLoop,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
    how: str,
) -> None:
    ours, theirs = socket.socketpair()
    client, server = Rotates(fileno=ours.detach()), Rotates(fileno=theirs.detach())
    if how == "ssl=":
        (_, serves), (transport, asks) = await asyncio.gather(
            loop.connect_accepted_socket(Echo, server, ssl=server_context),
            loop.create_connection(
                Recorder, sock=client, ssl=client_context, server_hostname="localhost"
            ),
        )
    else:
        below, serves = await loop.connect_accepted_socket(Echo, server)
        above, asks = await loop.create_connection(Recorder, sock=client)
        upgraded, asking = await asyncio.gather(
            loop.start_tls(below, serves, server_context, server_side=True),
            loop.start_tls(above, asks, client_context, server_hostname="localhost"),
        )
        assert upgraded is not None
        assert asking is not None
        serves.transport, transport = upgraded, asking
    transport.write(b"hello")
    assert await asks.got(5) == b"hello"
    transport.close()
    await asks.lost()
    await serves.lost()
    assert min(client.calls["send"], server.calls["send"]) >= 1


async def test_a_file_is_sent_to_its_descriptor(loop: AbstractEventLoop) -> None:
    """By sendfile(2), which no method is asked about."""
    ours, peer = rotating_pair()
    with peer, tempfile.TemporaryFile() as file:
        file.write(b"HAL" * 1000)
        file.flush()
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        assert await loop.sendfile(transport, file) == 3000
        transport.write(b"HAL")
        assert peer.recv(3000, socket.MSG_WAITALL) == b"HAL" * 1000
        assert peer.recv(3) == b"IBM"
        transport.close()
        await protocol.lost()


async def test_datagrams_pass_through_its_methods(loop: AbstractEventLoop) -> None:
    received: asyncio.Future[bytes] = loop.create_future()

    class Receives(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            received.set_result(data)

    ours = RotatesDatagrams(type=socket.SOCK_DGRAM)
    ours.bind(("127.0.0.1", 0))
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(10)
        transport, _ = await loop.create_datagram_endpoint(Receives, sock=ours)
        transport.sendto(b"HAL", peer.getsockname())
        assert peer.recv(10) == b"IBM"
        peer.sendto(b"IBM", ours.getsockname())
        assert await received == b"HAL"
        transport.close()
        await asyncio.sleep(0)


async def test_sock_calls_use_its_methods(loop: AbstractEventLoop) -> None:
    ours, peer = rotating_pair()
    ours.setblocking(False)
    with ours, peer:
        await loop.sock_sendall(ours, b"HAL")
        assert peer.recv(3) == b"IBM"
        receiving = asyncio.ensure_future(loop.sock_recv(ours, 10))
        await asyncio.sleep(0)
        peer.send(b"IBM")
        assert await receiving == b"HAL"
        buffer = bytearray(3)
        peer.send(b"IBM")
        assert await loop.sock_recv_into(ours, buffer) == 3
        assert buffer == b"HAL"


async def test_methods_of_the_object_itself_are_called(loop: AbstractEventLoop) -> None:
    ours, peer = socket.socketpair()
    sock: Any = Plain(fileno=ours.detach())
    sock.recv = lambda size: rotated(socket.socket.recv(sock, size), -1)
    with peer:
        transport, protocol = await loop.create_connection(Recorder, sock=sock)
        peer.send(b"IBM")
        assert await protocol.got(3) == b"HAL"
        transport.close()
        await protocol.lost()
        del sock.recv


@pytest.mark.ours_only
async def test_a_class_that_overrides_none_of_them_stays_native(
    loop: AbstractEventLoop,
) -> None:
    assert isinstance(loop, NativeLoop)
    ours, peer = socket.socketpair()
    with peer, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        transport, protocol = await loop.create_connection(
            Recorder, sock=Plain(fileno=ours.detach())
        )
        assert type(transport) is StreamTransport
        transport.close()
        await protocol.lost()
        datagrams.bind(("127.0.0.1", 0))
        endpoint, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, sock=Plain(fileno=datagrams.detach())
        )
        assert type(endpoint) is NativeDatagramTransport
        endpoint.close()
        await asyncio.sleep(0)
        listener = Plain()
        listener.bind(("127.0.0.1", 0))
        server = await loop.create_server(Echo, sock=listener)
        assert listener.fileno() in loop.listeners
        server.close()
        await server.wait_closed()


async def test_its_transport_tells_its_state(loop: AbstractEventLoop) -> None:
    ours, peer = rotating_pair()
    with peer:
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        assert "read=polling" in repr(transport)
        transport.pause_reading()
        assert "read=idle" in repr(transport)
        transport.abort()
        await protocol.lost()
        assert "closed" in repr(transport)

"""Outgoing connections, and the errors of those that fail."""

import asyncio
import errno
import gc
import socket
from asyncio import AbstractEventLoop
from pathlib import Path

import pytest

from .peers import Peer, serving
from .protocols import Echo, Recorder


async def test_a_refused_connection_says_so(
    loop: AbstractEventLoop, closed_port: tuple[str, int]
) -> None:
    host, port = closed_port
    with pytest.raises(ConnectionRefusedError, match=str(port)) as caught:
        await loop.create_connection(Recorder, host, port)
    assert caught.value.errno == errno.ECONNREFUSED


async def test_the_error_of_a_refused_connection_is_in_no_cycle(
    loop: AbstractEventLoop, closed_port: tuple[str, int]
) -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        error = None
        try:
            await loop.sock_connect(sock, closed_port)
        except OSError as exc:
            error = exc
    await asyncio.sleep(0)
    assert isinstance(error, ConnectionRefusedError)
    assert not any(isinstance(r, asyncio.Future) for r in gc.get_referrers(error))


async def test_the_local_address_can_be_chosen(loop: AbstractEventLoop) -> None:
    async with serving(Echo) as place:
        transport, client = await loop.create_connection(
            Recorder, *place.address, local_addr=("127.0.0.3", 0)
        )
        assert transport.get_extra_info("sockname")[0] == "127.0.0.3"
        transport.write(b"x")
        assert await client.got(1) == b"x"
        transport.close()
        await client.lost()


async def test_a_local_address_that_is_not_ours_is_an_error(
    loop: AbstractEventLoop,
) -> None:
    async with serving(Echo) as place:
        with pytest.raises(OSError, match="192.0.2.1"):
            await loop.create_connection(
                Recorder, *place.address, local_addr=("192.0.2.1", 0)
            )


async def test_a_connected_socket_can_be_handed_over(loop: AbstractEventLoop) -> None:
    async with serving(Echo) as place:
        sock = place.connect().sock
        transport, client = await loop.create_connection(Recorder, sock=sock)
        assert transport.get_extra_info("socket").fileno() == sock.fileno()
        transport.write(b"x")
        assert await client.got(1) == b"x"
        transport.close()
        await client.lost()
        assert sock.fileno() == -1


async def test_bytes_that_came_before_the_hand_over_are_delivered(
    loop: AbstractEventLoop,
) -> None:
    ours, theirs = socket.socketpair()
    theirs.send(b"early")
    theirs.close()
    _, protocol = await loop.create_connection(Recorder, sock=ours)
    assert await protocol.lost() is None
    assert protocol.received == b"early"


async def test_an_accepted_socket_can_be_handed_over(loop: AbstractEventLoop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = Peer(socket.create_connection(listener.getsockname()))
        accepted, _ = listener.accept()
    _, protocol = await loop.connect_accepted_socket(Echo, accepted)
    peer.send(b"x")
    assert await peer.recv_exactly(1) == b"x"
    peer.close()
    await protocol.lost()


async def test_a_datagram_socket_is_no_stream(loop: AbstractEventLoop) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match="[Ss]tream"):
            await loop.create_connection(Recorder, sock=sock)
        with pytest.raises(ValueError, match="[Ss]tream"):
            await loop.create_server(Recorder, sock=sock)


async def test_contradicting_arguments_are_refused(loop: AbstractEventLoop) -> None:
    with pytest.raises(ValueError):
        await loop.create_connection(Recorder)
    with socket.socket() as sock, pytest.raises(ValueError):
        await loop.create_connection(Recorder, "127.0.0.1", 1, sock=sock)  # type: ignore[call-overload]
    with pytest.raises(ValueError):
        await loop.create_connection(
            Recorder, "127.0.0.1", 1, server_hostname="without ssl"
        )
    with pytest.raises(ValueError):
        await loop.create_unix_connection(Recorder)


async def test_a_name_with_several_addresses_is_tried_address_by_address(
    loop: AbstractEventLoop,
) -> None:
    async with serving(Echo) as place:
        _, port = place.address

        async def getaddrinfo(*_: object, **__: object) -> list[object]:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
                for host in ("127.0.0.9", "127.0.0.1")
            ]

        loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign, assignment]
        transport, client = await loop.create_connection(Recorder, "a name", port)
        assert transport.get_extra_info("peername") == place.address
        transport.close()
        await client.lost()


async def test_happy_eyeballs(loop: AbstractEventLoop) -> None:
    async with serving(Echo) as place:
        transport, client = await loop.create_connection(
            Recorder, "localhost", place.address[1], happy_eyeballs_delay=0.01
        )
        transport.write(b"x")
        assert await client.got(1) == b"x"
        transport.close()
        await client.lost()


async def test_connection_made_comes_before_create_connection_returns(
    loop: AbstractEventLoop,
) -> None:
    async with serving(Echo) as place:
        transport, client = await loop.create_connection(Recorder, *place.address)
        assert client.calls == ["connection_made"]
        assert client.transport is transport
        transport.close()
        await client.lost()


async def test_a_unix_path_without_a_server_is_an_error(
    loop: AbstractEventLoop, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        await loop.create_unix_connection(Recorder, str(tmp_path / "none"))
    dead = str(tmp_path / "dead")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(dead)
    with pytest.raises(ConnectionRefusedError):
        await loop.create_unix_connection(Recorder, dead)


@pytest.mark.ours_only
@pytest.mark.parametrize("call", ["sock_connect", "create_unix_connection"])
async def test_a_unix_connection_that_a_full_queue_refuses_is_an_error(
    loop: AbstractEventLoop, tmp_path: Path, call: str
) -> None:
    """connect(2) has not even begun then.  asyncio takes it for made, and the first
    write fails."""
    path = str(tmp_path / "socket")
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as first,
        socket.socket(socket.AF_UNIX) as ours,
    ):
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        ours.setblocking(False)
        with pytest.raises(BlockingIOError, match="listen queue is full") as caught:
            if call == "sock_connect":
                await loop.sock_connect(ours, path)
            else:
                await loop.create_unix_connection(Recorder, path)
        assert caught.value.errno == errno.EAGAIN
        assert path in str(caught.value)

        # The socket can be used when there is room again.
        listener.accept()[0].close()
        await loop.sock_connect(ours, path)
        assert ours.getpeername() == path


async def test_a_cancelled_create_connection_leaves_nothing(
    loop: AbstractEventLoop,
) -> None:
    # The backlog is full, so the kernel does not answer another SYN.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        queued = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            queued.append(sock)
        connecting = asyncio.ensure_future(loop.create_connection(Recorder, *address))
        for _ in range(5):
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        for sock in queued:
            sock.close()


@pytest.mark.ours_only
@pytest.mark.parametrize("call", ["create_connection", "connect_accepted_socket"])
async def test_a_socket_has_one_transport(loop: AbstractEventLoop, call: str) -> None:
    """asyncio refuses a second one since Python 3.12.  Before that the first transport
    received nothing more, and the first to close closed the other's socket."""

    ours, theirs = socket.socketpair()
    with theirs:
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        with pytest.raises(RuntimeError, match="is used by transport"):
            if call == "create_connection":
                await loop.create_connection(Recorder, sock=ours)
            else:
                await loop.connect_accepted_socket(Recorder, ours)
        theirs.send(b"x")
        assert await protocol.got(1) == b"x"
        transport.close()
        await protocol.lost()

"""loop.sock_* on plain sockets."""

import asyncio
import errno
import socket
import tempfile
from asyncio import AbstractEventLoop

import pytest
from loops import Run

from .peers import Peer, pattern
from .test_readers_and_writers import Pair, pair

__all__ = ["pair"]

MIB = 1024 * 1024


async def test_what_is_there_is_received_and_what_is_not_is_awaited(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    theirs.send(b"at once")
    assert await loop.sock_recv(ours, 100) == b"at once"
    waiting = asyncio.ensure_future(loop.sock_recv(ours, 100))
    await asyncio.sleep(0)
    assert not waiting.done()
    theirs.send(b"later")
    assert await waiting == b"later"
    theirs.close()
    assert await loop.sock_recv(ours, 100) == b""


async def test_sock_recv_into_fills_a_buffer(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    buffer = bytearray(8)
    waiting = asyncio.ensure_future(loop.sock_recv_into(ours, buffer))
    await asyncio.sleep(0)
    theirs.send(b"words")
    assert await waiting == 5
    assert buffer == b"words\0\0\0"
    theirs.send(b"more words")
    assert await loop.sock_recv_into(ours, memoryview(buffer)[4:]) == 4
    assert buffer == b"wordmore"


async def test_sock_sendall_sends_everything_however_slow_the_peer(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    data = pattern(8 * MIB)
    sending = asyncio.ensure_future(loop.sock_sendall(ours, data))
    await asyncio.sleep(0)
    assert not sending.done()
    assert await Peer(theirs).recv_exactly(len(data)) == data
    await sending
    await loop.sock_sendall(ours, b"")


async def test_connect_accept_and_talk(loop: AbstractEventLoop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        accepting = asyncio.ensure_future(loop.sock_accept(listener))
        await asyncio.sleep(0)
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, listener.getsockname())
        server, address = await accepting
        assert address == client.getsockname()
        assert server.gettimeout() == 0
        with client, server:
            echo = asyncio.ensure_future(loop.sock_recv(server, 10))
            await loop.sock_sendall(client, b"hello")
            assert await echo == b"hello"


async def test_a_refused_connect_has_its_errno(
    loop: AbstractEventLoop, closed_port: tuple[str, int]
) -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(ConnectionRefusedError) as caught:
            await loop.sock_connect(sock, closed_port)
        assert caught.value.errno == errno.ECONNREFUSED


async def test_a_reset_has_its_errno(loop: AbstractEventLoop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = Peer(socket.create_connection(listener.getsockname()))
        ours, _ = listener.accept()
    ours.setblocking(False)
    with ours:
        waiting = asyncio.ensure_future(loop.sock_recv(ours, 10))
        await asyncio.sleep(0)
        peer.reset()
        with pytest.raises(ConnectionResetError):
            await waiting


async def test_bytes_are_not_lost_with_a_cancelled_receive(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    for arrives_first in (False, True):
        for iterations in range(3):
            receiving = asyncio.ensure_future(loop.sock_recv(ours, 100))
            for _ in range(iterations):
                await asyncio.sleep(0)
            if arrives_first and iterations:
                theirs.send(b"words")
                receiving.cancel()
            else:
                receiving.cancel()
                theirs.send(b"words")
            with pytest.raises(asyncio.CancelledError):
                await receiving
            assert await loop.sock_recv(ours, 100) == b"words"


async def test_a_cancelled_accept_loses_no_connection(loop: AbstractEventLoop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        for _ in range(5):
            accepting = asyncio.ensure_future(loop.sock_accept(listener))
            await asyncio.sleep(0)
            accepting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await accepting
            client = socket.create_connection(listener.getsockname())
            server, _ = await loop.sock_accept(listener)
            client.close()
            server.close()


async def test_a_cancelled_sendall_lets_the_socket_be_used_again(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    sending = asyncio.ensure_future(loop.sock_sendall(ours, bytes(8 * MIB)))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    received = 0
    try:
        while True:
            received += len(theirs.recv(1 << 20))
    except BlockingIOError:
        pass
    assert 0 < received < 8 * MIB
    await loop.sock_sendall(ours, b"again")
    assert theirs.recv(100) == b"again"
    assert loop.remove_writer(ours) is False


async def test_a_cancelled_connect_leaves_the_socket_to_its_owner(
    loop: AbstractEventLoop,
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.socket() as first,
        socket.socket() as second,
        socket.socket() as third,
    ):
        for sock in (first, second):
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        third.setblocking(False)
        connecting = asyncio.ensure_future(
            loop.sock_connect(third, listener.getsockname())
        )
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert loop.remove_writer(third) is False
        assert third.fileno() >= 0


async def test_a_receive_and_a_send_of_one_socket_go_on_side_by_side(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    ours, theirs = pair

    data = pattern(4 * MIB)
    receiving = asyncio.ensure_future(loop.sock_recv(ours, 10))
    sending = asyncio.ensure_future(loop.sock_sendall(ours, data))
    peer = Peer(theirs)
    assert await peer.recv_exactly(len(data)) == data
    await sending
    peer.send(b"x")
    assert await receiving == b"x"


def test_debug_mode_refuses_blocking_sockets(loop: AbstractEventLoop, run: Run) -> None:
    loop.set_debug(True)

    async def main() -> None:
        with socket.socket() as sock:
            for call in (
                loop.sock_recv(sock, 1),
                loop.sock_recv_into(sock, bytearray(1)),
                loop.sock_sendall(sock, b"x"),
                loop.sock_accept(sock),
                loop.sock_connect(sock, ("127.0.0.1", 1)),
            ):
                with pytest.raises(ValueError, match="non-blocking"):
                    await call

    run(main())


async def test_datagrams_of_a_plain_socket(loop: AbstractEventLoop) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as left,
        socket.socket(type=socket.SOCK_DGRAM) as right,
    ):
        for sock in (left, right):
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
        waiting = asyncio.ensure_future(loop.sock_recvfrom(right, 100))
        await asyncio.sleep(0)
        assert await loop.sock_sendto(left, b"words", right.getsockname()) == 5
        assert await waiting == (b"words", left.getsockname())
        buffer = bytearray(10)
        into = asyncio.ensure_future(loop.sock_recvfrom_into(right, buffer))
        await asyncio.sleep(0)
        await loop.sock_sendto(left, b"", right.getsockname())
        assert await into == (0, left.getsockname())


@pytest.mark.parametrize(("offset", "count"), [(0, None), (1000, None), (5, 100_000)])
async def test_sock_sendfile_sends_a_file_or_a_part_of_it(
    loop: AbstractEventLoop, offset: int, count: int | None
) -> None:
    data = pattern(2 * MIB)
    wanted = data[offset:] if count is None else data[offset : offset + count]
    with (
        tempfile.TemporaryFile() as file,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        file.write(data)
        peer = Peer(socket.create_connection(listener.getsockname()))
        ours, _ = listener.accept()
        ours.setblocking(False)
        sending = asyncio.ensure_future(loop.sock_sendfile(ours, file, offset, count))
        assert await peer.recv_exactly(len(wanted)) == wanted
        assert await sending == len(wanted)
        assert file.tell() == offset + len(wanted)
        ours.close()
        peer.close()


async def test_sock_calls_work_over_unix_sockets_too(loop: AbstractEventLoop) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as client,
    ):
        path = f"{folder}/socket"
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        client.setblocking(False)
        await loop.sock_connect(client, path)
        server, _ = await loop.sock_accept(listener)
        with server:
            await loop.sock_sendall(server, b"x")
            assert await loop.sock_recv(client, 10) == b"x"

"""``loop.sock_*`` on raw sockets, with time limits and cancellation."""

import asyncio
import socket
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from .actors import Pair
from .peers import (
    CalledPeer,
    DatagramPeer,
    Peer,
    a_datagram_pair,
    a_pair,
    is_whole,
    pattern,
    small_socket,
)
from .rooms import a_size, a_small_size, an_actor, one_of, verb
from .world import Absent, World

T = TypeVar("T")
Limit = tuple[str, float | None]

ROOM = "sockets"

a_limit = one_of(
    ("none", None), ("none", None), ("timeout", 0), ("timeout", 5), ("wait_for", 0),
    ("wait_for", 5), ("wait_for", None),
)  # fmt: skip


async def limited(limit: Limit, call: Awaitable[T]) -> T:
    how, within_s = limit
    if how == "none":
        return await call
    if how == "wait_for":
        return await asyncio.wait_for(call, within_s)
    try:
        async with asyncio.timeout(within_s):
            return await call
    finally:
        if asyncio.iscoroutine(call):
            call.close()


@verb(ROOM, 3, one_of("unix", "tcp"), one_of(True, True, False), begins=True)
def open_pair(world: World, _me: Any, family: str, reads: bool) -> None:
    ours, theirs = a_pair(family)
    Pair(world, ours, Peer(theirs, reads))


@verb(ROOM, 1, one_of("udp", "connected", "unix"), begins=True)
def open_datagram_pair(world: World, _me: Any, family: str) -> None:
    ours, theirs = a_datagram_pair(family)
    address = ours.getsockname() if family == "udp" else None
    Pair(world, ours, DatagramPeer(theirs, True, address))


def spawn(
    world: World, pair: Pair, name: str, coroutine: Coroutine[Any, Any, Any]
) -> None:
    # The task of a call that had to wait runs in the iteration in which the socket is
    # ready, and so may end before another's; asyncio's, in the next one.
    world.spawn(name, coroutine, trace=f"tasks of {pair.name}")


def _pair(world: World, me: Any, number: Any, is_stream: bool) -> Pair:
    pair = world.pick(Pair, number, me)
    if isinstance(pair.peer, DatagramPeer) == is_stream:
        raise Absent
    return pair


@verb(ROOM, 4, an_actor, a_small_size, a_limit)
def sock_recv(world: World, me: Any, number: Any, size: int, limit: Limit) -> None:
    pair = _pair(world, me, number, is_stream=True)

    async def receiving() -> str:
        return pair.took(await limited(limit, world.loop.sock_recv(pair.sock, size)))

    spawn(world, pair, "sock_recv", receiving())


@verb(ROOM, 3, an_actor, a_small_size, a_limit)
def sock_recv_into(world: World, me: Any, number: Any, size: int, limit: Limit) -> None:
    pair = _pair(world, me, number, is_stream=True)
    buffer = bytearray(size)

    async def receiving() -> str:
        n = await limited(limit, world.loop.sock_recv_into(pair.sock, buffer))
        return pair.took(buffer[:n])

    spawn(world, pair, "sock_recv_into", receiving())


@verb(ROOM, 4, an_actor, a_size, one_of(bytes, bytes, bytearray, memoryview), a_limit)
def sock_sendall(
    world: World, me: Any, number: Any, size: int, kind: Any, limit: Limit
) -> None:
    pair = _pair(world, me, number, is_stream=True)
    if pair.is_sending or pair.is_torn:
        raise Absent
    data = kind(pattern(pair.written, size))
    pair.is_sending = True

    async def sending() -> None:
        try:
            await limited(limit, world.loop.sock_sendall(pair.sock, data))
            pair.written += size
        except BaseException:
            pair.is_torn = True
            raise
        finally:
            pair.is_sending = False

    spawn(world, pair, "sock_sendall", sending())


@verb(ROOM, 2, an_actor, a_small_size, one_of("recvfrom", "recvfrom_into"), a_limit)
def sock_recvfrom(
    world: World, me: Any, number: Any, size: int, how: str, limit: Limit
) -> None:
    pair = _pair(world, me, number, is_stream=False)
    buffer = bytearray(size)

    async def receiving() -> tuple[Any, ...]:
        if how == "recvfrom":
            data, address = await limited(
                limit, world.loop.sock_recvfrom(pair.sock, size)
            )
        else:
            n, address = await limited(
                limit, world.loop.sock_recvfrom_into(pair.sock, buffer)
            )
            data = bytes(buffer[:n])
        fits = "whole" if is_whole(data) else "corrupt"
        return len(data), data[:1], fits, type(address).__name__

    spawn(world, pair, "sock_recvfrom", receiving())


@verb(
    ROOM, 2, an_actor, a_small_size, one_of("peer", "peer", "nowhere", "text"), a_limit
)
def sock_sendto(
    world: World, me: Any, number: Any, size: int, where: str, limit: Limit
) -> None:
    pair = _pair(world, me, number, is_stream=False)
    if pair.peer.sock.fileno() < 0:
        raise Absent
    address: Any = {"nowhere": ("127.0.0.1", 1), "text": "text"}.get(
        where, pair.peer.sock.getsockname()
    )
    data = pattern(pair.written, size)
    pair.written += 1

    async def sending() -> Any:
        return await limited(limit, world.loop.sock_sendto(pair.sock, data, address))

    spawn(world, pair, "sock_sendto", sending())


@verb(ROOM, 2, an_actor, a_small_size)
def peer_sends_to_socket(world: World, me: Any, number: Any, size: int) -> None:
    pair = world.pick(Pair, number, me)

    def sending() -> None:
        if pair.peer.sock.fileno() < 0:
            return
        if isinstance(pair.peer, DatagramPeer):
            pair.peer.send_one(size)
        else:
            pair.peer.to_send += size
            pair.peer.send()

    world.as_peer(sending)


@verb(ROOM, 1, an_actor, one_of(True, False))
def peer_of_socket_reads(world: World, me: Any, number: Any, whether: bool) -> None:
    peer = world.pick(Pair, number, me).peer
    world.as_peer(lambda: setattr(peer, "reads", whether))


@verb(ROOM, 1, an_actor, one_of("close", "half-close", "reset"))
def peer_of_socket_ends(world: World, me: Any, number: Any, how: str) -> None:
    from .stream_verbs import end_of_peer

    pair = _pair(world, me, number, is_stream=True)
    world.as_peer(lambda: end_of_peer(pair.peer, how))


@verb(ROOM, 2, one_of("tcp", "unix", "refused", "full"), a_limit, begins=True)
def sock_connect(world: World, _me: Any, where: str, limit: Limit) -> None:
    ours = small_socket(socket.AF_UNIX if where == "unix" else socket.AF_INET)
    ours.setblocking(False)
    listener, address = a_listener(world, where)
    pair = Pair(world, ours, CalledPeer(listener, True))

    async def connecting() -> str:
        await limited(limit, world.loop.sock_connect(ours, address))
        return "connected"

    spawn(world, pair, "sock_connect", connecting())


def a_listener(world: World, where: str) -> tuple[socket.socket, Any]:
    """A socket that listens (unless it is to refuse), and where to."""
    listener = small_socket(socket.AF_UNIX if where == "unix" else socket.AF_INET)
    if where == "unix":
        listener.bind(f"{world.folder.name}/listener{len(world.actors)}")
    else:
        listener.bind(("127.0.0.1", 0))
    if where != "refused":
        listener.listen(0 if where == "full" else 5)
    address = listener.getsockname()
    if where == "full":
        for _ in range(2):
            filler = small_socket(socket.AF_INET)
            filler.setblocking(False)
            filler.connect_ex(address)
            world.kept.append(filler)
        # Nobody accepts: the listening socket is not the peer's.
        world.kept.append(listener)
        listener = small_socket(socket.AF_INET)
    return listener, address


@verb(ROOM, 1.5, a_limit, begins=True)
def sock_accept(world: World, _me: Any, limit: Limit) -> None:
    listener = small_socket(socket.AF_INET)
    listener.bind(("127.0.0.1", 0))
    listener.listen(5)
    listener.setblocking(False)
    caller = small_socket(socket.AF_INET)
    pair = Pair(world, listener, Peer(caller, True))

    async def accepting() -> str:
        accepted, address = await limited(limit, world.loop.sock_accept(listener))
        world.kept.append(listener)
        pair.sock = accepted
        return type(address).__name__

    spawn(world, pair, "sock_accept", accepting())


@verb(ROOM, 2, an_actor)
def knock(world: World, me: Any, number: Any) -> None:
    """The peer connects to a socket that accepts."""
    pair = world.pick(Pair, number, me)

    def knocking() -> None:
        try:
            if pair.peer.sock.fileno() >= 0 and not pair.peer.got:
                pair.peer.sock.connect_ex(pair.sock.getsockname())
                pair.peer.end = ""
        except (OSError, TypeError):
            pass

    world.as_peer(knocking)

"""Datagram endpoints: bound, connected, over UDP and over Unix sockets."""

import socket
from functools import partial
from typing import Any

from .actors import Endpoint, Reactions
from .peers import DatagramPeer, a_datagram_pair, pattern
from .recorders import PROTOCOLS
from .rooms import an_actor, one_of, reactions, verb
from .world import Absent, World

ROOM = "datagrams"

a_datagram = one_of(0, 1, 10, 500, 500, 5000)
does = reactions(
    "factory", "connection_made", "connection_made", "datagram_received",
    "datagram_received", "error_received", "error_received", "connection_lost",
    "pause_writing", "resume_writing",
)  # fmt: skip


@verb(
    ROOM,
    2,
    one_of("udp", "connected", "connected by the loop", "unix"),
    one_of(True, True, False),
    does,
    begins=True,
)
def open_datagrams(
    world: World, _me: Any, family: str, reads: bool, does: Reactions
) -> None:
    options: dict[str, Any]
    if family == "connected by the loop":
        ours, theirs = a_datagram_pair("udp")
        here, there = ours.getsockname(), theirs.getsockname()
        ours.close()
        theirs.connect(here)
        options = {"local_addr": here, "remote_addr": there}
    else:
        ours, theirs = a_datagram_pair(family)
        options = {"sock": ours}
    address = ours.getsockname() if family == "udp" else None
    endpoint = Endpoint(world, DatagramPeer(theirs, reads, address), does)

    def factory() -> Any:
        given = endpoint.called("factory")
        return PROTOCOLS["datagram"](endpoint) if given is None else given

    async def opening() -> None:
        try:
            await world.loop.create_datagram_endpoint(factory, **options)
        finally:
            if endpoint.transport is None:
                ours.close()

    world.spawn(f"open {endpoint.name}", opening())


def _transport(world: World, me: Any, number: Any) -> Any:
    transport = world.pick(Endpoint, number, me).transport
    if transport is None:
        raise Absent
    return transport


@verb(
    ROOM,
    6,
    an_actor,
    a_datagram,
    one_of("peer", "peer", "peer", "nothing", "nowhere", "text", "a number"),
    one_of(bytes, bytes, bytearray, memoryview),
)
def sendto(
    world: World, me: Any, number: Any, size: int, where: str, kind: Any
) -> None:
    endpoint = world.pick(Endpoint, number, me)
    transport = _transport(world, me, number)
    peer = endpoint.peer
    nowhere = ("127.0.0.1", 1)
    address: Any = {"nowhere": nowhere, "text": "text", "a number": 5}.get(where)
    if where == "peer" and peer.address is not None and peer.sock.fileno() >= 0:
        address = peer.sock.getsockname()
    data = kind(pattern(endpoint.sent, size))
    endpoint.sent += 1
    world.tried(endpoint.name, "sendto", lambda: transport.sendto(data, address))


@verb(ROOM, 0.5, an_actor, one_of("text", 5, None, ["list"]))
def sendto_nonsense(world: World, me: Any, number: Any, what: Any) -> None:
    endpoint = world.pick(Endpoint, number, me)
    transport = _transport(world, me, number)
    world.tried(endpoint.name, "sendto", lambda: transport.sendto(what))


@verb(ROOM, 2, an_actor, one_of(5, 40, 300), one_of(500, 5000))
def flood(world: World, me: Any, number: Any, count: int, size: int) -> None:
    """More than the socket of a peer that does not read takes."""
    endpoint = world.pick(Endpoint, number, me)
    peer = endpoint.peer
    if peer.address is not None or peer.sock.family != socket.AF_UNIX:
        raise Absent  # UDP drops what is too much, and when is a matter of time
    transport = _transport(world, me, number)
    for _ in range(count):
        data = pattern(endpoint.sent, size)
        endpoint.sent += 1
        world.tried(endpoint.name, "flood", partial(transport.sendto, data))


@verb(ROOM, 5, an_actor, a_datagram, one_of(1, 1, 3))
def peer_sends_datagrams(
    world: World, me: Any, number: Any, size: int, count: int
) -> None:
    peer = world.pick(Endpoint, number, me).peer

    def sending() -> None:
        if peer.sock.fileno() >= 0:
            for _ in range(count):
                peer.send_one(size)

    world.as_peer(sending)


@verb(ROOM, 1, an_actor, one_of(True, False))
def peer_reads_datagrams(world: World, me: Any, number: Any, whether: bool) -> None:
    peer = world.pick(Endpoint, number, me).peer
    world.as_peer(lambda: setattr(peer, "reads", whether))


@verb(ROOM, 0.7, an_actor)
def close_peer_of_datagrams(world: World, me: Any, number: Any) -> None:
    """What is sent to it from now on is refused."""
    peer = world.pick(Endpoint, number, me).peer

    def closing() -> None:
        peer.read()
        peer.sock.close()

    world.as_peer(closing)


@verb(ROOM, 2, an_actor, one_of("close", "close", "abort"))
def end_datagrams(world: World, me: Any, number: Any, how: str) -> None:
    endpoint = world.pick(Endpoint, number, me)
    transport = _transport(world, me, number)
    world.tried(endpoint.name, how, getattr(transport, how))


@verb(ROOM, 0.5, an_actor)
def set_datagram_protocol(world: World, me: Any, number: Any) -> None:
    endpoint = world.pick(Endpoint, number, me)
    _transport(world, me, number).set_protocol(PROTOCOLS["datagram"](endpoint))


@verb(ROOM, 0.7, an_actor, one_of((0, 0), (1000, 10), (1, None), (5, 9)))
def set_datagram_limits(
    world: World, me: Any, number: Any, limits: tuple[Any, Any]
) -> None:
    endpoint = world.pick(Endpoint, number, me)
    transport = _transport(world, me, number)
    world.tried(
        endpoint.name, "limits", lambda: transport.set_write_buffer_limits(*limits)
    )


@verb(ROOM, 1, an_actor, one_of("peername", "sockname", "socket", "limits"))
def ask_datagrams(world: World, me: Any, number: Any, what: str) -> None:
    endpoint = world.pick(Endpoint, number, me)
    transport = _transport(world, me, number)
    if what == "limits":
        answer = transport.get_write_buffer_limits()
    else:
        answer = type(transport.get_extra_info(what)).__name__
    world.log.add(endpoint.name, what, answer)

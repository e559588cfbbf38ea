"""Connections over TCP and Unix sockets, and the servers that accept them."""

import socket
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from typing import Any

from .actors import Actor, Connection, Listening, Reactions
from .peers import Peer, a_pair, pattern, reset, small_socket
from .recorders import PROTOCOLS
from .rooms import a_size, an_actor, one_of, reactions, verb
from .world import Absent, World

ROOM = "streams"

a_protocol = one_of("plain", "plain", "buffered")
a_server = one_of(0, 0, 1)
does = reactions(
    "factory", "factory", "connection_made", "connection_made", "data_received",
    "buffer_updated", "eof_received", "connection_lost", "pause_writing",
    "resume_writing", "get_buffer", "get_buffer",
)  # fmt: skip

# -- servers and connections ---------------------------------------------------


@verb(ROOM, 1, one_of("tcp", "tcp", "unix"), a_protocol, begins=True)
def listen(world: World, _me: Any, family: str, protocol: str) -> None:
    serve(world, family, protocol, None)


def serve(world: World, family: str, protocol: str, tls: Any) -> None:
    place: Any = None

    def factory() -> Any:
        connection = place.waiting.popleft()
        connection.loop = next(loop for loop in world.loops if loop.is_running())
        given = connection.called(
            "factory", f"loop {world.loops.index(connection.loop)}"
        )
        return PROTOCOLS[protocol](connection) if given is None else given

    sock = small_socket(socket.AF_INET if family == "tcp" else socket.AF_UNIX)
    sock.bind(("127.0.0.1", 0) if family == "tcp" else world.path())
    sock.listen(50)

    async def serving() -> None:
        nonlocal place
        make: Any = world.loop.create_server
        if family == "unix":
            make = world.loop.create_unix_server
        place = Listening(await make(factory, sock=sock, ssl=tls))
        place.factory, place.is_tls = factory, tls is not None
        world.listening.append(place)

    world.spawn("listen", serving())


def place_of(world: World, number: int) -> Listening:
    if not world.listening:
        raise Absent
    return world.listening[number % len(world.listening)]


@verb(ROOM, 0.5, a_server)
def share(world: World, _me: Any, server: int) -> None:
    """Another loop accepts on the same listening socket, from its own duplicate."""
    place = place_of(world, server)
    if place.is_tls or place.sock.fileno() < 0 or len(place.servers) > 1:
        raise Absent
    if len(world.loops) == 1:
        world.new_loop()
    loop = world.loops[1]
    sock = place.sock.dup()

    async def serving() -> None:
        make: Any = loop.create_server
        if sock.family == socket.AF_UNIX:
            make = loop.create_unix_server
        place.servers.append(await make(place.factory, sock=sock))

    world.spawn("share", serving(), loop)


@verb(ROOM, 6, a_server, one_of(True, True, False), does)
def connect(
    world: World, _me: Any, server: int, reads: bool, does: Reactions
) -> Connection:
    """The peer connects to a server of the loop."""
    from .tls_verbs import contexts

    place = place_of(world, server)
    sock = small_socket(place.sock.family)
    sock.settimeout(1)
    try:
        sock.connect(place.address)
    except OSError as error:
        sock.close()
        world.log.add("loop", "connect", type(error).__name__)
        raise Absent from None
    connection = Connection(world, Peer(sock, reads), does)
    place.waiting.append(connection)
    if place.is_tls:
        connection.is_tls = True
        connection.peer.start_tls(contexts()["client"], is_server=False)
    return connection


@verb(ROOM, 0.5, a_server, one_of("reset", "close", "half-close"), does)
def connect_and_end(
    world: World, me: Any, server: int, how: str, does: Reactions
) -> None:
    peer = connect(world, me, server, True, does).peer
    end_of_peer(peer, how)


@verb(
    ROOM,
    3,
    one_of("unix", "tcp"),
    a_protocol,
    one_of(True, True, False),
    does,
    begins=True,
)
def open_(
    world: World, _me: Any, family: str, protocol: str, reads: bool, does: Reactions
) -> None:
    """The loop takes over one end of a connected pair."""
    take_over(world, family, protocol, reads, does)


def take_over(
    world: World,
    family: str,
    protocol: str,
    reads: bool,
    does: Reactions,
    **options: Any,
) -> Connection:
    ours, theirs = a_pair(family)
    connection = Connection(world, Peer(theirs, reads), does)

    async def opening() -> None:
        try:
            await world.loop.create_connection(
                factory_of(connection, protocol), sock=ours, **options
            )
        finally:
            if connection.transport is None:
                ours.close()

    world.spawn(f"open {connection.name}", opening())
    return connection


def factory_of(connection: Connection, protocol: str) -> Callable[[], Any]:
    def factory() -> Any:
        given = connection.called("factory")
        return PROTOCOLS[protocol](connection) if given is None else given

    return factory


@verb(ROOM, 0.4, one_of(0, 0, 1))
def close_server(world: World, _me: Any, server: int) -> None:
    for each in place_of(world, server).servers:
        each.close()


# -- what the transport is told ------------------------------------------------


def transport_of(world: World, me: Actor | None, number: int | None) -> Any:
    transport = world.pick(Connection, number, me).transport
    if transport is None:
        raise Absent
    return transport


@verb(ROOM, 8, an_actor, a_size, one_of("bytes", "bytes", "bytearray", "memoryview"))
def write(world: World, me: Any, number: Any, size: int, kind: str) -> None:
    connection = world.pick(Connection, number, me)
    transport = transport_of(world, me, number)
    data = pattern(connection.written, size)
    given = {
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
    }
    if world.tried(connection.name, "write", lambda: transport.write(given[kind]) or 1):
        connection.written += size


@verb(ROOM, 2, an_actor, one_of((5, 10), (), (0, 5), (3000, 400_000)))
def writelines(world: World, me: Any, number: Any, sizes: tuple[int, ...]) -> None:
    connection = world.pick(Connection, number, me)
    transport = transport_of(world, me, number)
    if connection.is_lost:
        raise Absent  # since 3.12 asyncio's fails there
    start, pieces = connection.written, []
    for size in sizes:
        pieces.append(pattern(start, size))
        start += size
    if world.tried(
        connection.name, "writelines", lambda: transport.writelines(pieces) or 1
    ):
        connection.written = start


@verb(ROOM, 0.5, an_actor, one_of("text", 5, None, ["list"], 1.5))
def write_nonsense(world: World, me: Any, number: Any, what: Any) -> None:
    connection = world.pick(Connection, number, me)
    transport = transport_of(world, me, number)
    world.tried(connection.name, "write", lambda: transport.write(what))


def _call(name: str, *arguments: Any) -> Callable[..., None]:
    def call(world: World, me: Any, number: Any) -> None:
        connection = world.pick(Connection, number, me)
        transport = transport_of(world, me, number)
        world.tried(connection.name, name, lambda: getattr(transport, name)(*arguments))

    call.__name__ = name
    return call


for _name, _weight in (
    ("write_eof", 2), ("pause_reading", 3), ("resume_reading", 3), ("close", 3),
    ("abort", 1),
):  # fmt: skip
    verb(ROOM, _weight, an_actor)(_call(_name))


@verb(ROOM, 0.7, an_actor, one_of("plain", "buffered"))
def set_protocol(world: World, me: Any, number: Any, kind: str) -> None:
    connection = world.pick(Connection, number, me)
    transport_of(world, me, number).set_protocol(PROTOCOLS[kind](connection))


@verb(
    ROOM, 1, an_actor, one_of((0, 0), (1000, 10), (1, None), (None, 5), (5, 9), (-1, 0))
)
def set_limits(world: World, me: Any, number: Any, limits: tuple[Any, Any]) -> None:
    connection = world.pick(Connection, number, me)
    transport = transport_of(world, me, number)
    world.tried(
        connection.name,
        "limits",
        lambda: transport.set_write_buffer_limits(*limits),
    )


@verb(
    ROOM,
    2,
    an_actor,
    one_of("unsent", "closing", "reading", "peername", "sockname", "socket", "limits"),
)
def ask(world: World, me: Any, number: Any, what: str) -> None:
    """What the transport says of itself; and whoever asks may change what happens."""
    connection = world.pick(Connection, number, me)
    transport = transport_of(world, me, number)
    answer: Any
    match what:
        case "unsent":
            answer = transport.get_write_buffer_size() > 0
        case "closing":
            answer = transport.is_closing()
        case "reading":
            answer = transport.is_reading() if not connection.is_lost else "-"
        case "limits":
            answer = transport.get_write_buffer_limits()
        case "socket":
            answer = isinstance(transport.get_extra_info("socket"), TransportSocket)
        case _:
            answer = type(transport.get_extra_info(what)).__name__
    world.log.add(connection.name, what, answer)


@verb(ROOM, 1, an_actor, one_of(1, 0, 2))
def shutdown(world: World, me: Any, number: Any, how: int) -> None:
    connection = world.pick(Connection, number, me)
    sock = transport_of(world, me, number).get_extra_info("socket")
    if sock.fileno() >= 0:
        world.tried(connection.name, "shutdown", lambda: sock.shutdown(how))


@verb(ROOM, 0.7, an_actor, one_of("reader", "writer"))
def watch_transport(world: World, me: Any, number: Any, what: str) -> None:
    """asyncio refuses to watch a transport's descriptor."""
    connection = world.pick(Connection, number, me)
    transport = transport_of(world, me, number)
    if transport.is_closing():
        raise Absent  # it would be let, and the descriptor is somebody else's soon
    fd = transport.get_extra_info("socket").fileno()
    add = getattr(connection.loop, f"add_{what}")
    world.tried(connection.name, f"add_{what}", lambda: add(fd, print))


@verb(ROOM, 0.7, an_actor, one_of(10, 5000, 400_000))
def sendfile(world: World, me: Any, number: Any, size: int) -> None:
    connection = world.pick(Connection, number, me)
    transport = transport_of(world, me, number)
    path = f"{world.folder.name}/file{len(world.tasks)}"
    with open(path, "wb") as file:
        file.write(pattern(connection.written, size))
    connection.written += size

    async def sending() -> Any:
        with open(path, "rb") as file:
            return await connection.loop.sendfile(transport, file)

    world.spawn(f"sendfile {connection.name}", sending(), connection.loop)


# -- what the peer does --------------------------------------------------------


@verb(ROOM, 7, an_actor, a_size)
def send(world: World, me: Any, number: Any, size: int) -> None:
    peer = world.pick(Connection, number, me).peer

    def sending() -> None:
        if peer.sock.fileno() >= 0:
            peer.to_send += size
            peer.send()

    world.as_peer(sending)


@verb(ROOM, 1, an_actor, one_of(3, 30))
def dribble(world: World, me: Any, number: Any, size: int) -> None:
    """One byte an iteration."""
    peer = world.pick(Connection, number, me).peer
    world.as_peer(lambda: setattr(peer, "to_dribble", size))


@verb(ROOM, 2, an_actor, one_of(True, False))
def reads(world: World, me: Any, number: Any, whether: bool) -> None:
    """The peer begins or stops to take what it is sent."""
    peer = world.pick(Connection, number, me).peer
    world.as_peer(lambda: setattr(peer, "reads", whether))


@verb(ROOM, 2, an_actor)
def look(world: World, me: Any, number: Any) -> None:
    """In the next callback: has the peer got what was written before?"""

    def looking() -> None:
        connection = world.pick(Connection, number, me)
        connection.peer.read()
        world.log.add(connection.name, "the peer sees", connection.peer.roughly())

    world.loop.call_soon(looking)


@verb(ROOM, 1.5, an_actor, one_of("close", "half-close", "half-close", "reset"))
def peer_ends(world: World, me: Any, number: Any, how: str) -> None:
    peer = world.pick(Connection, number, me).peer
    world.as_peer(lambda: end_of_peer(peer, how))


def end_of_peer(peer: Peer, how: str) -> None:
    if peer.sock.fileno() < 0:
        return
    if how == "half-close":
        try:
            peer.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return
    peer.read()
    peer.end = peer.end or "its own end"
    if how == "reset":
        reset(peer.sock)
    else:
        peer.sock.close()

"""What a program can do: each verb, how often it is chosen, and with which arguments."""

import asyncio
import random
import socket
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .program import Act
from .recorders import PROTOCOLS
from .world import (
    Absent,
    Connection,
    Listening,
    Peer,
    World,
    keep_small,
    pattern,
    reset,
    small_socket,
)

Argument = Callable[[random.Random], Any]


@dataclass(frozen=True)
class Verb:
    do: Callable[..., Any]
    weight: float
    arguments: tuple[Argument, ...]
    begins: bool  # may be the first of a program


VERBS: dict[str, Verb] = {}


def verb(
    weight: float, *arguments: Argument, begins: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(do: Callable[..., Any]) -> Callable[..., Any]:
        VERBS[do.__name__.rstrip("_")] = Verb(do, weight, arguments, begins)
        return do

    return register


def an_act(dice: random.Random, kind: str = "", depth: int = 0) -> Act:
    left_out = _NOT_IN_A_CALLBACK if depth else _ONLY_IN_A_CALLBACK
    names = [
        name
        for name, verb in VERBS.items()
        if (not kind or verb.begins) and name not in left_out
    ]
    name = dice.choices(names, [VERBS[name].weight for name in names])[0]
    arguments = [argument(dice) for argument in VERBS[name].arguments]
    takes_one = bool(arguments) and VERBS[name].arguments[0] is a_connection
    if depth and takes_one and dice.random() < 0.8:
        arguments[0] = None  # the one whose callback it is
    return Act(name, tuple(arguments))


# -- arguments -----------------------------------------------------------------


def a_connection(dice: random.Random) -> int:
    return dice.choices((0, 1, 2), (6, 2, 1))[0]


def a_size(dice: random.Random) -> int:
    return dice.choice((1, 10, 500, 5000, 5000, 400_000))


def a_small_size(dice: random.Random) -> int:
    return dice.choice((0, 1, 10, 500, 5000))


def one_of(*choices: Any) -> Argument:
    return lambda dice: dice.choice(choices)


def reactions(dice: random.Random) -> tuple[tuple[str, Act], ...]:
    return tuple(
        (dice.choice(CALLBACKS), an_act(dice, depth=1))
        for _ in range(dice.choices((0, 1, 2), (5, 3, 1))[0])
    )


def an_inner_act(dice: random.Random) -> Act:
    return an_act(dice, depth=1)


a_callback = one_of(
    "connection_made", "data_received", "buffer_updated", "eof_received",
    "connection_lost", "pause_writing", "resume_writing", "get_buffer",
)  # fmt: skip
CALLBACKS = (
    "factory", "factory", "connection_made", "connection_made", "data_received",
    "buffer_updated", "eof_received", "connection_lost", "pause_writing",
    "resume_writing", "get_buffer",
)  # fmt: skip
_NOT_IN_A_CALLBACK = {"leave", "run_elsewhere", "listen"}
_ONLY_IN_A_CALLBACK = {"fail", "give"}

# -- servers and connections ---------------------------------------------------


@verb(
    1, one_of("tcp", "tcp", "unix"), one_of("plain", "plain", "buffered"), begins=True
)
def listen(world: World, _me: Any, family: str, protocol: str) -> None:
    def factory() -> Any:
        connection = place.waiting.popleft()
        given = connection.called("factory")
        return PROTOCOLS[protocol](connection) if given is None else given

    sock = small_socket(socket.AF_INET if family == "tcp" else socket.AF_UNIX)
    sock.bind(("127.0.0.1", 0) if family == "tcp" else world.path())
    sock.listen(50)
    if family == "tcp":
        made = world.loop.create_server(factory, sock=sock)
    else:
        made = world.loop.create_unix_server(factory, sock=sock)
    place: Any = None

    async def serve() -> None:
        nonlocal place
        place = Listening(await made)
        world.listening.append(place)

    world.spawn("listen", serve())


def _place(world: World, number: int) -> Listening:
    if not world.listening:
        raise Absent
    return world.listening[number % len(world.listening)]


@verb(6, one_of(0, 0, 1), one_of(True, True, False), reactions)
def connect(
    world: World, _me: Any, server: int, reads: bool, does: tuple[tuple[str, Act], ...]
) -> Connection:
    """The peer connects to a server of the loop."""
    place = _place(world, server)
    sock = small_socket(place.sock.family)
    sock.settimeout(1)
    try:
        sock.connect(place.address)
    except OSError as error:
        sock.close()
        world.log.add("loop", "connect", type(error).__name__)
        raise Absent from None
    connection = world.add_connection(Peer(sock, reads), does)
    place.waiting.append(connection)
    return connection


@verb(0.5, one_of(0, 0, 1), one_of("reset", "close", "half-close"), reactions)
def connect_and_end(
    world: World, me: Any, server: int, how: str, does: tuple[tuple[str, Act], ...]
) -> None:
    peer = connect(world, me, server, True, does).peer
    _end_of_peer(peer, how)


@verb(
    3,
    one_of("unix", "tcp"),
    one_of("plain", "plain", "buffered"),
    one_of(True, True, False),
    reactions,
    begins=True,
)
def open_(
    world: World,
    _me: Any,
    family: str,
    protocol: str,
    reads: bool,
    does: tuple[tuple[str, Act], ...],
) -> None:
    """The loop takes over one end of a connected pair."""
    ours, theirs = _a_pair(family)
    connection = world.add_connection(Peer(theirs, reads), does)

    def factory() -> Any:
        given = connection.called("factory")
        return PROTOCOLS[protocol](connection) if given is None else given

    async def opening() -> None:
        try:
            await world.loop.create_connection(factory, sock=ours)
        finally:
            if connection.transport is None:
                ours.close()

    world.spawn(f"open {connection.name}", opening())


def _a_pair(family: str) -> tuple[socket.socket, socket.socket]:
    if family == "unix":
        ours, theirs = socket.socketpair()
        for sock in ours, theirs:
            keep_small(sock)
    else:
        with small_socket(socket.AF_INET) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            theirs = small_socket(socket.AF_INET)
            theirs.connect(listener.getsockname())
            ours, _ = listener.accept()
    ours.setblocking(False)
    return ours, theirs


@verb(0.4, one_of(0, 0, 1))
def close_server(world: World, _me: Any, server: int) -> None:
    _place(world, server).server.close()


# -- what the transport is told ------------------------------------------------


def _transport(world: World, me: Connection | None, number: int | None) -> Any:
    transport = world.connection(number, me).transport
    if transport is None:
        raise Absent
    return transport


@verb(8, a_connection, a_size, one_of("bytes", "bytes", "bytearray", "memoryview"))
def write(world: World, me: Any, number: Any, size: int, kind: str) -> None:
    connection = world.connection(number, me)
    transport = _transport(world, me, number)
    data = pattern(connection.written, size)
    given = {
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
    }
    if world.tried(connection.name, "write", lambda: transport.write(given[kind]) or 1):
        connection.written += size


@verb(2, a_connection, one_of((5, 10), (), (0, 5), (3000, 400_000)))
def writelines(world: World, me: Any, number: Any, sizes: tuple[int, ...]) -> None:
    connection = world.connection(number, me)
    transport = _transport(world, me, number)
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


@verb(0.5, a_connection, one_of("text", 5, None, ["list"], 1.5))
def write_nonsense(world: World, me: Any, number: Any, what: Any) -> None:
    connection = world.connection(number, me)
    transport = _transport(world, me, number)
    world.tried(connection.name, "write", lambda: transport.write(what))


def _call(name: str, *arguments: Any) -> Callable[..., None]:
    def call(world: World, me: Any, number: Any) -> None:
        connection = world.connection(number, me)
        transport = _transport(world, me, number)
        world.tried(connection.name, name, lambda: getattr(transport, name)(*arguments))

    call.__name__ = name
    return call


for _name, _weight in (
    ("write_eof", 2), ("pause_reading", 3), ("resume_reading", 3), ("close", 3),
    ("abort", 1),
):  # fmt: skip
    verb(_weight, a_connection)(_call(_name))


@verb(0.7, a_connection, one_of("plain", "buffered"))
def set_protocol(world: World, me: Any, number: Any, kind: str) -> None:
    connection = world.connection(number, me)
    _transport(world, me, number).set_protocol(PROTOCOLS[kind](connection))


@verb(
    1, a_connection, one_of((0, 0), (1000, 10), (1, None), (None, 5), (5, 9), (-1, 0))
)
def set_limits(world: World, me: Any, number: Any, limits: tuple[Any, Any]) -> None:
    connection = world.connection(number, me)
    transport = _transport(world, me, number)
    world.tried(
        connection.name,
        "limits",
        lambda: transport.set_write_buffer_limits(*limits),
    )


@verb(
    2,
    a_connection,
    one_of("unsent", "closing", "reading", "peername", "sockname", "socket", "limits"),
)
def ask(world: World, me: Any, number: Any, what: str) -> None:
    """What the transport says of itself; and whoever asks may change what happens."""
    connection = world.connection(number, me)
    transport = _transport(world, me, number)
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


@verb(1, a_connection, one_of(1, 0, 2))
def shutdown(world: World, me: Any, number: Any, how: int) -> None:
    connection = world.connection(number, me)
    sock = _transport(world, me, number).get_extra_info("socket")
    if sock.fileno() >= 0:
        world.tried(connection.name, "shutdown", lambda: sock.shutdown(how))


@verb(0.7, a_connection, one_of("reader", "writer"))
def watch_transport(world: World, me: Any, number: Any, what: str) -> None:
    """asyncio refuses to watch a transport's descriptor."""
    connection = world.connection(number, me)
    transport = _transport(world, me, number)
    if transport.is_closing():
        raise Absent  # it would be let, and the descriptor is somebody else's soon
    fd = transport.get_extra_info("socket").fileno()
    add = getattr(world.loop, f"add_{what}")
    world.tried(connection.name, f"add_{what}", lambda: add(fd, print))


@verb(0.7, a_connection, one_of(10, 5000, 400_000))
def sendfile(world: World, me: Any, number: Any, size: int) -> None:
    connection = world.connection(number, me)
    transport = _transport(world, me, number)
    path = f"{world.folder.name}/file{len(world.tasks)}"
    with open(path, "wb") as file:
        file.write(pattern(connection.written, size))
    connection.written += size

    async def sending() -> Any:
        with open(path, "rb") as file:
            return await world.loop.sendfile(transport, file)

    world.spawn(f"sendfile {connection.name}", sending())


# -- what the peer does --------------------------------------------------------


@verb(7, a_connection, a_size)
def send(world: World, me: Any, number: Any, size: int) -> None:
    peer = world.connection(number, me).peer

    def sending() -> None:
        if peer.sock.fileno() >= 0:
            peer.to_send += size
            peer.send()

    world.as_peer(sending)


@verb(2, a_connection, one_of(True, False))
def reads(world: World, me: Any, number: Any, whether: bool) -> None:
    """The peer begins or stops to take what it is sent."""
    peer = world.connection(number, me).peer
    world.as_peer(lambda: setattr(peer, "reads", whether))


@verb(2, a_connection)
def look(world: World, me: Any, number: Any) -> None:
    """In the next callback: has the peer got what was written before?"""

    def looking() -> None:
        connection = world.connection(number, me)
        connection.peer.read()
        world.log.add(connection.name, "the peer sees", connection.peer.roughly())

    world.loop.call_soon(looking)


@verb(1.5, a_connection, one_of("close", "half-close", "half-close", "reset"))
def peer_ends(world: World, me: Any, number: Any, how: str) -> None:
    peer = world.connection(number, me).peer
    world.as_peer(lambda: _end_of_peer(peer, how))


def _end_of_peer(peer: Peer, how: str) -> None:
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


# -- the loop ------------------------------------------------------------------


@verb(2, a_connection, one_of("call_soon", "call_soon_threadsafe", "call_later"))
def mark(world: World, me: Any, number: Any, how: str) -> None:
    """A callback, to see what it comes before and after."""
    connection = world.connection(number, me)
    marked = partial(world.log.called, connection.name, "mark")
    if how == "call_later":
        world.loop.call_later(0, marked)
    else:
        getattr(world.loop, how)(marked)


@verb(1.5, a_connection, a_callback, an_inner_act)
def on(world: World, me: Any, number: Any, callback: str, act: Act) -> None:
    """Have something done the next time that this callback is called."""
    from collections import deque

    connection = world.connection(number, me)
    connection.reactions.setdefault(callback, deque()).append(act)


@verb(0.7, one_of(0, 1, 2, 3))
def cancel(world: World, _me: Any, number: int) -> None:
    if not world.tasks:
        raise Absent
    world.tasks[-1 - number % len(world.tasks)].cancel()


@verb(0.3)
def run_elsewhere(world: World, _me: Any) -> None:
    """From now on another thread runs the loop in each iteration."""
    world.runs_elsewhere = True


@verb(0.3)
def leave(world: World, _me: Any) -> None:
    """Close the loop with everything that is on it."""
    if world.loop.is_running():
        raise Absent
    world.leave()


ERRORS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("of the program"),
    "OSError": lambda: OSError(5, "of the program"),
    "ConnectionResetError": lambda: ConnectionResetError("of the program"),
    "CancelledError": lambda: asyncio.CancelledError("of the program"),
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(3),
}
OBJECTS: dict[str, Callable[[], Any]] = {
    "a list": lambda: [0] * 10,
    "text": lambda: "text",
    "bytes": lambda: b"bytes",
    "nothing in it": lambda: bytearray(),
    "a number": lambda: 5,
    "true": lambda: True,
    "wide items": lambda: memoryview(bytearray(4096)).cast("I"),
    "an object": object,
}


@verb(3, one_of(*ERRORS))
def fail(_world: World, _me: Any, what: str) -> None:
    raise ERRORS[what]()


@verb(2, one_of(*OBJECTS))
def give(_world: World, _me: Any, what: str) -> Any:
    return OBJECTS[what]()

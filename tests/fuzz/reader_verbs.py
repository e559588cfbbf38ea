"""asyncio's StreamReader and StreamWriter, and connecting; with time limits."""

import asyncio
from typing import Any

from .actors import Connection, Reactions
from .peers import CalledPeer, Peer, a_pair
from .rooms import an_actor, one_of, verb
from .sock_verbs import Limit, a_limit, a_listener, limited
from .stream_verbs import a_protocol, does, factory_of
from .world import Absent, World

ROOM = "readers"


@verb(
    ROOM, 3, one_of("unix", "tcp"), one_of(64 * 1024, 1000), one_of(True, True, False),
    begins=True,
)  # fmt: skip
def open_streams(world: World, _me: Any, family: str, limit: int, reads: bool) -> None:
    ours, theirs = a_pair(family)
    connection = Connection(world, Peer(theirs, reads))

    async def opening() -> None:
        reader, writer = await asyncio.open_connection(sock=ours, limit=limit)
        connection.reader, connection.writer = reader, writer
        connection.transport = writer.transport

    world.spawn(f"open {connection.name}", opening())


@verb(
    ROOM, 8, an_actor, one_of("readexactly", "readuntil", "readline", "read"),
    one_of(0, 1, 10, 500, 5000, -1), a_limit,
)  # fmt: skip
def read(world: World, me: Any, number: Any, how: str, size: int, limit: Limit) -> None:
    connection = world.pick(Connection, number, me)
    reader = connection.reader
    if reader is None or (size < 0 and how != "read"):
        raise Absent
    arguments = {"readexactly": (size,), "read": (size,), "readuntil": (b"\xfa\x00",)}

    async def reading() -> tuple[int, str]:
        data = await limited(limit, getattr(reader, how)(*arguments.get(how, ())))
        return connection.took(data), "at the end" if reader.at_eof() else "open"

    world.spawn(f"{how} {connection.name}", reading())


@verb(ROOM, 2, an_actor, one_of("drain", "wait_closed"), a_limit)
def wait_until(world: World, me: Any, number: Any, what: str, limit: Limit) -> None:
    writer = world.pick(Connection, number, me).writer
    if writer is None:
        raise Absent

    async def waiting() -> str:
        await limited(limit, getattr(writer, what)())
        return "done"

    world.spawn(f"{what}", waiting())


@verb(
    ROOM, 3, one_of("tcp", "unix", "refused", "full"), a_protocol, a_limit, does,
    begins=True,
)  # fmt: skip
def dial(
    world: World, _me: Any, where: str, protocol: str, limit: Limit, does: Reactions
) -> None:
    """The loop connects to a peer."""
    listener, address = a_listener(world, where)
    connection = Connection(world, CalledPeer(listener, True), does)
    factory = factory_of(connection, protocol)

    async def dialling() -> str:
        if where == "unix":
            call = world.loop.create_unix_connection(factory, address)
        else:
            call = world.loop.create_connection(factory, *address)
        await limited(limit, call)
        return "connected"

    world.spawn(f"dial {connection.name}", dialling())

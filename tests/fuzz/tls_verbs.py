"""TLS: from the beginning or later, and on either side."""

import ssl
from functools import lru_cache
from typing import Any

import trustme

from .actors import Connection, Reactions
from .rooms import an_actor, one_of, verb
from .stream_verbs import a_protocol, does, serve, take_over, transport_of
from .world import Absent, World

ROOM = "tls"

a_side = one_of("client", "server")
_OTHER = {"client": "server", "server": "client"}


@lru_cache
def contexts() -> dict[str, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return {"client": client, "server": server}


def _options(side: str) -> dict[str, Any]:
    return {"server_hostname": "localhost"} if side == "client" else {}


@verb(ROOM, 1, one_of("tcp", "unix"), a_protocol, begins=True)
def listen_tls(world: World, _me: Any, family: str, protocol: str) -> None:
    serve(world, family, protocol, contexts()["server"])


@verb(
    ROOM, 3, one_of("unix", "tcp"), a_protocol, one_of(True, True, False), does,
    begins=True,
)  # fmt: skip
def open_tls(
    world: World, _me: Any, family: str, protocol: str, reads: bool, does: Reactions
) -> None:
    connection = take_over(
        world, family, protocol, reads, does, ssl=contexts()["client"],
        **_options("client"),
    )  # fmt: skip
    connection.is_tls = True
    connection.peer.start_tls(contexts()["server"], is_server=True)


@verb(ROOM, 4, an_actor, a_side, one_of(True, True, True, False))
def start_tls(world: World, me: Any, number: Any, side: str, peer_agrees: bool) -> None:
    connection = world.pick(Connection, number, me)
    transport = transport_of(world, me, number)
    if connection.is_tls or connection.reader is not None:
        raise Absent
    connection.is_tls = True
    other = _OTHER[side]
    if peer_agrees:
        world.as_peer(
            lambda: connection.peer.start_tls(contexts()[other], other == "server")
        )
    # What was meant to be sent in the clear is not.
    connection.peer.to_send = 0

    async def upgrading() -> str:
        connection.transport = await connection.loop.start_tls(
            transport,
            connection.protocol,
            contexts()[side],
            server_side=side == "server",
            **_options(side),
        )
        return "upgraded"

    world.spawn(f"start_tls {connection.name}", upgrading(), connection.loop)

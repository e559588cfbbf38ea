"""Readers and writers on raw sockets, and on descriptors whose number is used again."""

import os
from functools import partial
from typing import Any

from .actors import Pair, Reactions
from .peers import Peer, a_pair
from .rooms import a_small_size, an_actor, one_of, reactions, verb
from .world import Absent, World

ROOM = "descriptors"

MOST_CALLS = 3
"""A writer, or a reader that leaves what it finds, is called in every iteration."""

does = reactions("reader", "writer")


@verb(ROOM, 4, one_of("unix", "tcp"), one_of(True, False), does, begins=True)
def open_watched(
    world: World, _me: Any, family: str, reads: bool, does: Reactions
) -> None:
    ours, theirs = a_pair(family)
    Pair(world, ours, Peer(theirs, reads), does)


def _stream_pair(world: World, me: Any, number: Any) -> Pair:
    pair = world.pick(Pair, number, me)
    if type(pair.peer) is not Peer:
        raise Absent
    return pair


@verb(ROOM, 6, an_actor, one_of("number", "object"), one_of("takes", "leaves"))
def add_reader(world: World, me: Any, number: Any, form: str, how: str) -> None:
    pair = _stream_pair(world, me, number)
    calls = 0

    def reader() -> None:
        nonlocal calls
        calls += 1
        found: Any = "something"
        try:
            if how == "takes":
                found = pair.took(pair.sock.recv(5000))
        except OSError as error:
            found = type(error).__name__
        if calls == MOST_CALLS or found == "0 bytes":
            world.loop.remove_reader(pair.sock)
        pair.called("reader", found)

    world.tried(
        pair.name, "add_reader", lambda: world.loop.add_reader(_fd(pair, form), reader)
    )


@verb(ROOM, 4, an_actor, one_of("number", "object"), a_small_size)
def add_writer(world: World, me: Any, number: Any, form: str, size: int) -> None:
    pair = _stream_pair(world, me, number)
    calls = 0

    def writer() -> None:
        nonlocal calls
        calls += 1
        try:
            sent: Any = pair.sock.send(bytes(size))
            pair.is_torn = True
        except OSError as error:
            sent = type(error).__name__
        if calls == MOST_CALLS:
            world.loop.remove_writer(pair.sock)
        pair.called("writer", sent)

    world.tried(
        pair.name, "add_writer", lambda: world.loop.add_writer(_fd(pair, form), writer)
    )


def _fd(pair: Pair, form: str) -> Any:
    return pair.sock if form == "object" else pair.sock.fileno()


@verb(ROOM, 3, an_actor, one_of("reader", "writer"), one_of("number", "object"))
def remove(world: World, me: Any, number: Any, what: str, form: str) -> None:
    pair = _stream_pair(world, me, number)
    taken = world.tried(
        pair.name,
        "remove",
        lambda: getattr(world.loop, f"remove_{what}")(_fd(pair, form)),
    )
    world.log.add(pair.name, "removed", taken)


@verb(ROOM, 2, an_actor, one_of("before", "after"), one_of("unix", "tcp"))
def renew(world: World, me: Any, number: Any, removes: str, family: str) -> None:
    """Close it, and open another with the same number; the reader and the writer are
    removed before or after it is closed."""
    pair = _stream_pair(world, me, number)
    fd = pair.sock.fileno()

    def remove_both() -> None:
        for what in "reader", "writer":
            taken = world.tried(
                pair.name,
                "remove",
                partial(getattr(world.loop, f"remove_{what}"), pair.sock),
            )
            world.log.add(pair.name, "removed", taken)

    ours, theirs = a_pair(family)
    if removes == "before":
        remove_both()
    pair.peer.sock.close()
    pair.sock.close()
    if removes == "after":
        remove_both()
    # The same number, whichever is free.
    os.dup2(ours.fileno(), fd)
    ours.close()
    pair.sock = type(ours)(ours.family, ours.type, ours.proto, fileno=fd)
    pair.sock.setblocking(False)
    pair.peer = Peer(theirs, pair.peer.reads)
    pair.received = pair.written = 0


@verb(ROOM, 6, an_actor, a_small_size)
def send_to_watched(world: World, me: Any, number: Any, size: int) -> None:
    pair = _stream_pair(world, me, number)

    def sending() -> None:
        if pair.peer.sock.fileno() >= 0:
            pair.peer.to_send += size
            pair.peer.send()

    world.as_peer(sending)


@verb(ROOM, 1, an_actor, one_of("close", "half-close", "reset"))
def end_watched(world: World, me: Any, number: Any, how: str) -> None:
    from .stream_verbs import end_of_peer

    pair = _stream_pair(world, me, number)
    world.as_peer(lambda: end_of_peer(pair.peer, how))

"""The verbs of every room; here those that do not belong to one."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from . import (  # noqa: F401  # they register their verbs
    datagram_verbs,
    fd_verbs,
    reader_verbs,
    sock_verbs,
    stream_verbs,
    tls_verbs,
)
from .actors import Actor
from .program import Act
from .rooms import EVERYWHERE, VERBS, an_act, an_actor, an_inner_act, one_of, verb
from .world import Absent, World

__all__ = ["VERBS", "an_act"]

CALLBACKS = (
    "connection_made", "data_received", "buffer_updated", "eof_received",
    "connection_lost", "pause_writing", "resume_writing", "get_buffer",
    "datagram_received", "error_received", "reader", "writer",
)  # fmt: skip


@verb(
    EVERYWHERE, 1.5, an_actor, one_of("call_soon", "call_soon_threadsafe", "call_later")
)
def mark(world: World, me: Any, number: Any, how: str) -> None:
    """A callback, to see what it comes before and after."""
    actor = world.pick(Actor, number, me)
    marked = partial(world.log.called, actor.name, "mark")
    if how == "call_later":
        world.loop.call_later(0, marked)
    else:
        getattr(world.loop, how)(marked)


@verb(EVERYWHERE, 1, an_actor, one_of(*CALLBACKS), an_inner_act)
def on(world: World, me: Any, number: Any, callback: str, act: Act) -> None:
    """Have something done the next time that this callback is called."""
    actor = world.pick(Actor, number, me)
    actor.reactions.setdefault(callback, deque()).append(act)


@verb(EVERYWHERE, 0.7, one_of(0, 1, 2, 3))
def cancel(world: World, _me: Any, number: int) -> None:
    if not world.tasks:
        raise Absent
    world.tasks[-1 - number % len(world.tasks)].cancel()


@verb(EVERYWHERE, 0.3)
def run_elsewhere(world: World, _me: Any) -> None:
    """From now on another thread runs the loop in each iteration."""
    world.runs_elsewhere = True


@verb(EVERYWHERE, 0.2)
def leave(world: World, _me: Any) -> None:
    """Close the loop with everything that is on it."""
    if any(loop.is_running() for loop in world.loops):
        raise Absent
    world.leave()


@verb(EVERYWHERE, 0.4, one_of(1, 20, 100))
def pass_time(world: World, _me: Any, seconds: int) -> None:
    """The loop's clock goes on."""
    world.now_s += seconds


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


@verb("callbacks", 3, one_of(*ERRORS))
def fail(_world: World, _me: Any, what: str) -> None:
    raise ERRORS[what]()


@verb("callbacks", 2, one_of(*OBJECTS))
def give(_world: World, _me: Any, what: str) -> Any:
    return OBJECTS[what]()

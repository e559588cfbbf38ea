"""Connections in which something goes wrong, and a record of what is observed."""

import asyncio
import socket
import time
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

from loops import factory_of

from .bench import (
    ROW_ENDS_WITHIN_S,
    Bench,
    close_loop,
    echoes,
    in_report,
    in_words,
    iterations,
)

BIG = bytes(4 << 20)
"""More than the buffers of two sockets hold."""

Live = Callable[["Life"], Coroutine[Any, Any, None]]


class Life:
    """A loop, and a list of what was observed."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.bench = Bench(loop)
        self.seen: list[str] = []

    def see(self, what: str) -> None:
        # How often the same event repeats depends on the kernel.
        if self.seen[-1:] != [what]:
            self.seen.append(what)

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Waits by running iterations, so that only the loop has to make progress."""
        end = time.monotonic() + ROW_ENDS_WITHIN_S
        while not is_so():
            if time.monotonic() > end:
                raise AssertionError(f"waits for ever after {self.seen}")
            await asyncio.sleep(0)

    def tcp(self) -> tuple[socket.socket, socket.socket]:
        """Connected sockets: one for the loop, and its peer."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            theirs = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        # Small and fixed: by default the kernel lets them grow beyond BIG.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        ours.setblocking(False)
        theirs.setblocking(False)
        self.bench.stack.callback(theirs.close)
        self.bench.stack.callback(ours.close)
        return ours, theirs

    async def read_to_end(self, peer: socket.socket) -> str:
        """Accepts a reset as the end: unread bytes make the kernel send one."""
        try:
            while await self.loop.sock_recv(peer, 1 << 20):
                pass
        except ConnectionResetError:
            pass
        return "the peer sees the end"

    async def attempt(self, awaitable: Any) -> Any:
        try:
            answer = await awaitable
        except Exception as error:
            self.see(in_words(error))
            return None
        self.see(f"gives {type(answer).__name__}")
        return answer


def lived(kind: str, live: Live) -> list[str]:
    """What is observed of *live*, and whether the loop still works afterwards.

    Exceptions that escape from the loop (KeyboardInterrupt, SystemExit) are
    recorded, and the loop is run again.
    """
    loop = factory_of(kind)()
    life = Life(loop)

    def handler(_: Any, context: dict[str, Any]) -> None:
        # asyncio's own bug, if resume_writing leaves it nothing to send.
        if "Data should not be empty" not in str(context.get("exception")):
            life.see(in_report(context))

    loop.set_exception_handler(handler)
    with warnings.catch_warnings(), life.bench.stack:
        warnings.simplefilter("ignore")
        task = loop.create_task(live(life))
        run_to_end(loop, task, life)
        loop.set_exception_handler(lambda *_: None)
        life.see(loop.run_until_complete(echoes()))
        run_to_end(loop, loop.create_task(life.bench.close()), life)
        run_to_end(loop, loop.create_task(iterations(3)), life)
        close_loop(loop)
    return life.seen


def run_to_end(loop: Any, task: "asyncio.Task[None]", life: Life) -> None:
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (KeyboardInterrupt, SystemExit) as error:
            life.see(f"leaves the loop: {in_words(error)}")
    task.result()

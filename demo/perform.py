"""The whole demo, from the loop threads to the report."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from rich.console import Console

import aioadapt

from .adaptive import adapted
from .display import Display, Lines, LiveTable, Scene, follow
from .limits import allow_descriptors
from .load import Load
from .options import DemoError, Options
from .report import Report
from .serve import Side
from .stage import drained

# In addition to connections: listeners, rings, eventfds, pipes, Python's own.  A guess.
FURTHER_DESCRIPTORS = 256
CONNECTED_WITHIN_S = 30.0


def perform(options: Options, console: Console) -> Report:
    """Run the demo; *console* is where it shows its progress."""
    if not allow_descriptors(options.connections + FURTHER_DESCRIPTORS):
        raise DemoError(
            f"{options.connections:,} connections need more descriptors than this"
            " process may open (`ulimit -Hn`): raise the limit or use fewer"
            " --connections"
        )
    with ExitStack() as stack:
        sides = [
            Side(label, stack.enter_context(aioadapt.LoopThread(engine)))
            for label, engine in _engines(options, console)
        ]
        return asyncio.run(_perform(options, sides, console))


def _engines(options: Options, console: Console) -> list[tuple[str, str]]:
    """(name in responses, engine) of two sides to drain; if none, the server adapts."""
    support = aioadapt.uring_support()
    if support.available:
        return [("epoll", "epoll"), ("uring", "uring")] if options.drains else []
    console.print(
        f"io_uring is not available ({support.reason}):"
        " moving between two epoll loops instead",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return [("epoll", "epoll"), ("epoll2", "epoll")]


async def _perform(options: Options, sides: Sequence[Side], console: Console) -> Report:
    loop = asyncio.get_running_loop()
    with _interruptible(loop) as stop:
        async with drained(options, sides) if sides else adapted(options) as stage:
            load = await Load.start(
                stage.address,
                options,
                stage.engines,
                beginning_with=stage.connections,
            )
            try:
                await _connected(load, stop)
                begun = loop.time()
                display: Display = (
                    LiveTable(console) if console.is_terminal else Lines(console)
                )
                watching = asyncio.create_task(follow(display, Scene(stage, load)))
                load.ended.add_done_callback(lambda _: stop.set())
                try:
                    await stage.play(load, stop)
                finally:
                    interrupted = stop.is_set()
                    seconds = loop.time() - begun
                    watching.cancel()
                    await asyncio.wait({watching})
                    display.close()
                client = await load.stop()
            finally:
                await load.kill()
            stage.tally()
    return Report(
        stage.engines, options.connections, seconds, interrupted, stage.record, client
    )


async def _connected(load: Load, stop: asyncio.Event) -> None:
    waits = {asyncio.create_task(event.wait()) for event in (load.connected, stop)}
    try:
        await asyncio.wait(
            {*waits, load.ended},
            timeout=CONNECTED_WITHIN_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        for wait in waits:
            wait.cancel()
    if load.ended.done():
        load.ended.result()
    if not load.connected.is_set() and not stop.is_set():
        raise DemoError(f"the clients did not connect within {CONNECTED_WITHIN_S:g} s")


@contextmanager
def _interruptible(loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.Event]:
    """The first Ctrl-C sets the event; the second one is handled by Python."""
    stop = asyncio.Event()
    caught = (signal.SIGINT, signal.SIGTERM)

    def restore() -> None:
        for number in caught:
            loop.remove_signal_handler(number)

    def interrupted() -> None:
        stop.set()
        restore()

    for number in caught:
        loop.add_signal_handler(number, interrupted)
    try:
        yield stop
    finally:
        restore()

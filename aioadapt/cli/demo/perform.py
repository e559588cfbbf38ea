"""The whole demo, from two loop threads to the report."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from rich.console import Console

import aioadapt

from .display import Display, Lines, LiveTable, Scene, follow
from .driver import directions, drive, name
from .limits import allow_descriptors
from .load import Load
from .options import DemoError, Options
from .report import Record, Report
from .serve import Side, serving

DESCRIPTORS_BESIDES = (
    256  # a guess: listeners, rings, eventfds, pipes, what Python has open
)
CONNECTED_WITHIN_S = 30.0


def perform(options: Options, console: Console) -> Report:
    """Run the demo; *console* is where it says what is going on."""
    if not allow_descriptors(options.connections + DESCRIPTORS_BESIDES):
        raise DemoError(
            f"{options.connections:,} connections need more descriptors than this"
            " process may open (`ulimit -Hn`): raise the limit or choose fewer"
            " --connections"
        )
    with ExitStack() as stack:
        sides = [
            Side(label, stack.enter_context(aioadapt.LoopThread(engine)))
            for label, engine in _engines(console)
        ]
        return asyncio.run(_perform(options, sides, console))


def _engines(console: Console) -> list[tuple[str, str]]:
    """(name in answers, engine) of the two sides."""
    support = aioadapt.uring_support()
    if support.available:
        return [("epoll", "epoll"), ("uring", "uring")]
    console.print(
        f"io_uring is not to be had here ({support.reason}):"
        " moving between two epoll loops",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return [("epoll", "epoll"), ("epoll2", "epoll")]


async def _perform(options: Options, sides: Sequence[Side], console: Console) -> Report:
    loop = asyncio.get_running_loop()
    record = Record(moves={name(*way): 0 for way in directions(sides)})
    engines = [side.name for side in sides]
    with _interruptible(loop) as stop:
        async with serving(sides) as address:
            load = await Load.start(address, options, engines)
            try:
                await _connected(load, stop)
                begun = loop.time()
                display: Display = (
                    LiveTable(console) if console.is_terminal else Lines(console)
                )
                watching = asyncio.create_task(
                    follow(display, Scene(sides, load, record))
                )
                load.ended.add_done_callback(lambda _: stop.set())
                try:
                    await drive(
                        sides,
                        aioadapt.Migrator(),
                        record,
                        seconds=options.seconds,
                        rounds=options.rounds,
                        stop=stop,
                    )
                finally:
                    interrupted = stop.is_set()
                    seconds = loop.time() - begun
                    watching.cancel()
                    await asyncio.wait({watching})
                    display.close()
                client = await load.stop()
            finally:
                await load.abandon()
    return Report(engines, options.connections, seconds, interrupted, record, client)


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
        raise DemoError(
            f"the clients were not connected within {CONNECTED_WITHIN_S:g} s"
        )


@contextmanager
def _interruptible(loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.Event]:
    """The first Ctrl-C sets the event; the second one is Python's again."""
    stop = asyncio.Event()
    caught = (signal.SIGINT, signal.SIGTERM)

    def give_back() -> None:
        for number in caught:
            loop.remove_signal_handler(number)

    def interrupted() -> None:
        stop.set()
        give_back()

    for number in caught:
        loop.add_signal_handler(number, interrupted)
    try:
        yield stop
    finally:
        give_back()

"""What the controller decides, as it decides it.

    python examples/watching_decisions.py

It serves itself: first few connections, then many, then few again, until all of
them are where they should be.  The thresholds are so low that this is a load.
It prints each decision with its reason, and what would have had to be
different; and in the end what became of each switch.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aioadapt

THRESHOLDS = aioadapt.Thresholds(
    up_connections=16, down_connections=8, snap_connections=64, cooldown_s=1.0
)
# Connections, and the engine that they are to be served by.
RAMP = ((4, "epoll"), (24, "uring"), (4, "epoll"))
STEP_S = 1.0  # at least: time to look at it
GIVES_UP_AFTER_S = 30.0
REQUEST = b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "http":
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


async def one_client(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Asks again and again over one connection."""
    try:
        while True:
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\nok")
            await asyncio.sleep(0.005)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def load(count: int, address: tuple[str, int]) -> AsyncIterator[None]:
    opened = [await asyncio.open_connection(*address) for _ in range(count)]
    clients = [asyncio.create_task(one_client(*streams)) for streams in opened]
    try:
        yield
    finally:
        for client in clients:
            client.cancel()
        await asyncio.wait(clients)


class Watcher:
    """Prints the decisions that it has not seen yet."""

    def __init__(self, server: aioadapt.AdaptiveServer) -> None:
        self._server = server
        self._began_s = time.monotonic()
        self._seen_s = float("-inf")
        self._last: object = None

    async def watch(self, count: int, engine: str) -> None:
        """Until *count* connections are on that engine, and the others are gone."""
        began_s = time.monotonic()
        while True:
            await asyncio.sleep(0.1)
            state = self._server.state()
            for decision in state.decisions:
                if decision.at_s > self._seen_s:
                    self._seen_s = decision.at_s
                    self._print(decision)
            lasted_s = time.monotonic() - began_s
            served = {each.engine: each.stats.connections for each in state.engines}
            # What a switch has moved is told a moment after the last move.
            told = all(switch.moved == switch.connections for switch in state.switches)
            there = served.get(engine) == sum(served.values()) == count
            if lasted_s >= STEP_S and state.active == engine and there and told:
                return
            if lasted_s > GIVES_UP_AFTER_S:
                raise TimeoutError(
                    f"{served} after {lasted_s:.0f} s, on {state.active}"
                )

    async def until_all_are_gone(self) -> None:
        """On a busy machine the server hears of it a moment later."""
        while True:
            engines = self._server.state().engines
            if not any(each.stats.connections for each in engines):
                return
            await asyncio.sleep(0.01)

    def _print(self, decision: aioadapt.Decision) -> None:
        # One to stay, by the same rule as the last, says nothing new.
        what = (decision.verdict, decision.rule)
        if decision.verdict is aioadapt.Verdict.STAY and what == self._last:
            return
        self._last = what
        print(
            f"{decision.at_s - self._began_s:6.2f} s  {decision.active:5}  "
            f"{decision.verdict.name:6}  {decision.reason}\n"
            f"{'':26}otherwise: {decision.otherwise}",
            flush=True,
        )


async def main() -> None:
    async with aioadapt.AdaptiveServer(
        app, port=0, thresholds=THRESHOLDS, access_log=False, log_level="warning"
    ) as server:
        watcher = Watcher(server)
        for count, engine in RAMP:
            print(f"--- {count} connections", flush=True)
            async with load(count, server.addresses[0]):
                await watcher.watch(count, engine)
            await watcher.until_all_are_gone()
        for switch in server.state().switches:
            print(
                f"=== {switch.source} > {switch.to}: {switch.moved} of "
                f"{switch.connections} followed, the last after "
                f"{(switch.last_moved_s or 0.0) * 1e3:.0f} ms {switch.failed}"
            )


if __name__ == "__main__":
    asyncio.run(main())

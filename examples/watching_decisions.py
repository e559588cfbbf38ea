"""Shows the controller's decisions as they are made.

    python examples/watching_decisions.py

The program is its own client: first with few connections, then many, then few again,
each time until all of them are on the right engine.  The thresholds are low enough for
this to count as load.  It prints each decision with its reason and with what would
have led to another one, and at the end the result of each switch.
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
# Connections, and the engine that should serve them.
RAMP = ((4, "epoll"), (24, "uring"), (4, "epoll"))
STEP_S = 1.0  # at least, so that there is time to watch
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
    """Sends requests over one connection, one after the other."""
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
    """Prints decisions that it has not seen before."""

    def __init__(self, server: aioadapt.AdaptiveServer) -> None:
        self._server = server
        self._began_s = time.monotonic()
        self._seen_s = float("-inf")
        self._last: object = None

    async def watch(self, count: int, engine: str) -> None:
        """Wait until *count* connections are on *engine*, and no others are left."""
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
            # A switch reports what it has moved shortly after the last move.
            told = all(switch.moved == switch.connections for switch in state.switches)
            there = served.get(engine) == sum(served.values()) == count
            if lasted_s >= STEP_S and state.active == engine and there and told:
                return
            if lasted_s > GIVES_UP_AFTER_S:
                raise TimeoutError(
                    f"{served} after {lasted_s:.0f} s, on {state.active}"
                )

    async def until_all_are_gone(self) -> None:
        """Wait until the server has noticed; on a busy machine that takes a moment."""
        while True:
            engines = self._server.state().engines
            if not any(each.stats.connections for each in engines):
                return
            await asyncio.sleep(0.01)

    def _print(self, decision: aioadapt.Decision) -> None:
        # Another decision to stay, by the same rule, is not news.
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

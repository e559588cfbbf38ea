"""The client's process: start it, follow it, stop it, have its result."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any, Self

from .options import DemoError, Options

ROOT = Path(__file__).parents[1]  # where ``python -m demo.client`` is found
LINE_BYTES = 1 << 20
# It gives up on an unanswered request after 10 s, and reports at the latest then.
STOPS_WITHIN_S = 15.0


class Load:
    """The verifying client at work.  ``standing`` is what it said last."""

    def __init__(self, process: Process, connections: int) -> None:
        self._process = process
        self._connections = connections
        self.standing: dict[str, Any] = {}
        self.connected = asyncio.Event()  # as many as were asked for have been opened
        self.ended: asyncio.Task[dict[str, Any]] = asyncio.create_task(self._follow())

    @classmethod
    async def start(
        cls,
        address: tuple[str, int],
        options: Options,
        engines: list[str],
        *,
        beginning_with: int | None = None,
    ) -> Self:
        """With so many connections at first, or as many as *options* say."""
        host, port = address
        connections = beginning_with or options.connections
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "demo.client"),
            *("--host", host, "--port", str(port)),
            *("--connections", str(connections)),
            *("--think-ms", str(options.think_ms)),
            *("--engines", ",".join(engines)),
            stdin=PIPE,
            stdout=PIPE,
            limit=LINE_BYTES,
            cwd=ROOT,
        )
        return cls(process, connections)

    async def _follow(self) -> dict[str, Any]:
        outcome: dict[str, Any] | None = None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            self.standing = said
            if said["kind"] == "outcome":
                outcome = said
            if said["opened"] >= self._connections:
                self.connected.set()
        status = await self._process.wait()
        if outcome is None:
            raise DemoError(
                f"the client's process ended with status {status} and no result"
            )
        return outcome

    def resize(self, connections: int) -> None:
        """Have as many connections from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % connections)

    async def stop(self) -> dict[str, Any]:
        """Wait until what is in the air has been answered, or given up."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait({self.ended}, timeout=STOPS_WITHIN_S)
        if not self.ended.done():
            raise DemoError(
                f"the client's process did not end within {STOPS_WITHIN_S:g} s"
            )
        return self.ended.result()

    async def abandon(self) -> None:
        """Whatever happened: leave no process behind."""
        if self._process.returncode is None:
            self._process.kill()
        await asyncio.wait({self.ended})
        self.ended.exception()  # whoever abandons it knows already

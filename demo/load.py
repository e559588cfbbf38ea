"""The client's process: start it, follow its reports, stop it, and get its outcome."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any, Self

from .options import DemoError, Options

ROOT = Path(__file__).parents[1]  # where ``python -m demo.client`` is found
LINE_BYTES = 1 << 20
# It gives up on a request without a response after 10 s, and then reports.
STOPS_WITHIN_S = 15.0


class Load:
    """A running verifying client.  ``standing`` is its latest report."""

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
        *further: str,
        beginning_with: int | None = None,
    ) -> Self:
        """Start it with *beginning_with* connections, by default those of *options*.

        *further* are more options of ``python -m demo.client``.
        """
        host, port = address
        connections = beginning_with or options.connections
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "demo.client"),
            *("--host", host, "--port", str(port)),
            *("--connections", str(connections)),
            *("--think-ms", str(options.think_ms)),
            *("--engines", ",".join(engines)),
            *further,
            stdin=PIPE,
            stdout=PIPE,
            limit=LINE_BYTES,
            cwd=ROOT,
        )
        return cls(process, connections)

    def heard(self, said: dict[str, Any]) -> None:
        """Called with every report."""
        self.standing = said
        if said["opened"] >= self._connections:
            self.connected.set()

    async def _follow(self) -> dict[str, Any]:
        outcome: dict[str, Any] | None = None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            self.heard(said)
            if said["kind"] == "outcome":
                outcome = said
        status = await self._process.wait()
        if outcome is None:
            raise DemoError(
                f"the client process exited with status {status} and no outcome"
            )
        return outcome

    def command(self, **command: float) -> None:
        """Change what it does: see ``demo/client.py``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def stop(self) -> dict[str, Any]:
        """Stop it; returns once every request in flight has its response or is lost."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait({self.ended}, timeout=STOPS_WITHIN_S)
        if not self.ended.done():
            raise DemoError(
                f"the client process did not exit within {STOPS_WITHIN_S:g} s"
            )
        return self.ended.result()

    async def kill(self) -> None:
        """Leave no process behind, whatever has happened."""
        if self._process.returncode is None:
            self._process.kill()
        await asyncio.wait({self.ended})
        self.ended.exception()  # retrieved, so that it is not logged: it is known

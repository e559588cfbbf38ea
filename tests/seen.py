"""A server's state, built from real loops' counters and made-up decisions."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aioadapt
from aioadapt import Decision, LoopThread, Switch, Thresholds, Verdict
from aioadapt.control.decide import Rule
from aioadapt.control.sample import Sample
from aioadapt.control.start import Start
from aioadapt.serving.admin import Admin
from aioadapt.serving.admin_client import AdminClient
from aioadapt.serving.state import EngineState, ServerState

T = TypeVar("T")

STARTED_AT = 1_700_000_000.0
"""A Unix time; the state is from a minute later, when the clock shows 100 s."""


def decision(
    at_s: float = 99.0,
    *,
    verdict: Verdict = Verdict.STAY,
    reason: str = "3 connections, below the threshold of 64",
    otherwise: str = "61 more connections",
) -> Decision:
    to = "epoll" if verdict is Verdict.STAY else "uring"
    return Decision(
        at_s=at_s,
        active="epoll",
        verdict=verdict,
        to=to,  # type: ignore[arg-type]
        rule=Rule.CONNECTIONS,
        reason=reason,
        otherwise=otherwise,
        sample=Sample(at_s, 1.0, 3),
        thresholds=Thresholds(),
    )


def switch(at_s: float = 99.5, **others: Any) -> Switch:
    asked = decision(at_s, verdict=Verdict.SWITCH, reason="64 connections, a burst")
    found: dict[str, Any] = {
        "moved": 2,
        "left": {"TLS": 1},
        "first_moved_s": 0.012,
        "last_moved_s": 0.34,
        "pauses_s": (0.0001, 0.002),
        **others,
    }
    return Switch(asked, at_s, "epoll", "uring", asked.reason, 3, **found)


class Seen:
    """What the admin address shows: two running loops, and what a test sets."""

    def __init__(self, *threads: LoopThread) -> None:
        self.threads = threads
        self.migrator = aioadapt.Migrator()
        self.now = STARTED_AT + 60
        self.clock_s = 100.0
        self.set: dict[str, Any] = {
            "decisions": [decision()],
            "switches": [],
            "verdicts": {"stay": 7, "switch": 1},
            "switched": {"epoll>uring": 1},
        }

    def state(self) -> ServerState:
        fields: dict[str, Any] = {
            "pid": os.getpid(),
            "app": "shop:app",
            "addresses": ["http://127.0.0.1:8000"],
            "started_at": STARTED_AT,
            "now": self.now,
            "python": "CPython 3.13.1 with the GIL",
            "adapting": True,
            "migrating": True,
            "start": Start("epoll", False, "no workload hint"),
            "active": "epoll",
            "engines": [
                EngineState(
                    f"{thread.engine}",
                    active=number == 0,
                    running=thread.running,
                    stats=thread.loop.stats(),
                )
                for number, thread in enumerate(self.threads)
            ],
            "migrator": self.migrator.stats,
            "clock_s": self.clock_s,
            **self.set,
        }
        return ServerState(**fields)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.clock_s += seconds


@contextmanager
def running_admin(
    state: Callable[[], ServerState], *, engine: str = "epoll", **options: Any
) -> Iterator["RunningAdmin"]:
    """An Admin on a control loop on its own thread, as in a server."""
    with LoopThread(engine, name="control") as control:
        admin = Admin(state, **options)
        control.submit(admin.start()).result(10)
        running = RunningAdmin(admin, control)
        try:
            yield running
        finally:
            running.stop()


class RunningAdmin:
    def __init__(self, admin: Admin, control: LoopThread) -> None:
        self.admin = admin
        self._control = control

    @property
    def path(self) -> Path:
        assert self.admin.path is not None
        return self.admin.path

    @property
    def client(self) -> AdminClient:
        return AdminClient(self.path)

    def stop(self) -> None:
        self._control.submit(self.admin.stop()).result(10)


async def exchange(port: int, *, requests: int) -> None:
    """Send *requests* small requests to the server at *port* over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(requests):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readexactly(len(ANSWER))
    writer.close()
    await writer.wait_closed()


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Answering(asyncio.Protocol):
    """The smallest HTTP/1 server whose requests a loop counts."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]


@contextmanager
def answering(*threads: LoopThread) -> Iterator[int]:
    """Serve :class:`Answering` on each of *threads*; yields their common port."""

    async def listen(sock: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(Answering, sock=sock)

    async def close(server: asyncio.Server) -> None:
        server.close()

    with socket.create_server(("127.0.0.1", 0)) as shared:
        servers = [
            (thread, thread.submit(listen(shared.dup())).result(10))
            for thread in threads
        ]
        yield shared.getsockname()[1]
    for thread, server in servers:
        thread.submit(close(server)).result(10)


def run(main: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await main

    return asyncio.run(bounded())

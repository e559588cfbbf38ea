"""Unchanged uvicorn, one server on each loop thread, its connections drained."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn

import aioadapt
from aioadapt import LoopThread, Migrator

from .callers import Caller
from .real import ENDS_WITHIN_S, Peer

URING = aioadapt.uring_support()

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """Answers with the target, the name of the thread and the body."""

    def __init__(self, thread: str) -> None:
        self._thread = thread.encode()

    async def __call__(
        self, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        content = b"%s %s %s" % (scope["path"].encode(), self._thread, body)
        length = str(len(content)).encode()
        head = {"type": "http.response.start", "status": 200}
        await send({**head, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": content})


@contextmanager
def served(
    thread: LoopThread, listener: socket.socket, http: str
) -> Iterator[uvicorn.Server]:
    config = uvicorn.Config(
        App(thread.name), http=http, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    end = thread.submit(server.serve(sockets=[listener.dup()]))

    async def started() -> None:
        while not server.started and not end.done():
            await asyncio.sleep(0)

    thread.submit(started()).result(ENDS_WITHIN_S)
    try:
        yield server
    finally:
        server.should_exit = True
        end.result(ENDS_WITHIN_S)


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_uvicorns_connections_go_back_and_forth_under_load(http: str) -> None:
    engines = ("epoll", "uring" if URING.available else "epoll")
    callers: list[Caller] = []
    migrator = Migrator()
    with ExitStack() as stack:
        listener = stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=512)
        )
        a, b = (
            stack.enter_context(LoopThread(engine, name=name))
            for engine, name in zip(engines, "ab", strict=True)
        )
        servers = [
            stack.enter_context(served(place, listener, http)) for place in (a, b)
        ]
        for _ in range(16):
            callers.append(Caller(Peer(listener.getsockname())))
            stack.callback(callers[-1].peer.close)
            callers[-1].start()

        for _ in range(10):
            for source, target in ((a, b), (b, a)):
                report = asyncio.run(migrator.drain(source, to=target))
                assert report.left == {}
        for caller in callers:
            caller.hang_up(ENDS_WITHIN_S)
        held = [len(server.server_state.connections) for server in servers]

    assert [caller.failed for caller in callers] == [None] * 16
    assert all({"a", "b"} <= set(caller.answered_by) for caller in callers)
    assert sum(migrator.stats.moves.values()) >= 19 * 16
    assert held == [16, 0], "each server knows the connections that it serves"

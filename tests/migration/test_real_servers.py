"""Unchanged uvicorn, one server on each loop thread, its connections drained."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn
from aiohttp import web

import aioadapt
from aioadapt import LoopThread, Migrator
from aioadapt.migration import keep_alive

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
    thread: LoopThread, listener: socket.socket, http: str, **settings: Any
) -> Iterator[uvicorn.Server]:
    config = uvicorn.Config(
        App(thread.name),
        http=http,
        ws="none",
        lifespan="off",
        log_config=None,
        **settings,
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


@contextmanager
def served_by_aiohttp(
    thread: LoopThread, listener: socket.socket, *, keep_alive_s: float
) -> Iterator[None]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.path} {thread.name} ")

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=keep_alive_s)
        await runner.setup()
        await web.SockSite(runner, listener.dup()).start()
        return runner

    runner = thread.submit(start()).result(ENDS_WITHIN_S)
    try:
        yield
    finally:
        thread.submit(runner.cleanup()).result(ENDS_WITHIN_S)


def served_by(
    server: str, thread: LoopThread, listener: socket.socket, *, keep_alive_s: float
) -> AbstractContextManager[Any]:
    if server == "aiohttp":
        return served_by_aiohttp(thread, listener, keep_alive_s=keep_alive_s)
    return served(thread, listener, server, timeout_keep_alive=keep_alive_s)


SERVERS = ["h11", "httptools", "aiohttp"]


@contextmanager
def moved(server: str, *, keep_alive_s: float, to: str) -> Iterator[Peer]:
    """The peer of a connection that moved after its first answer."""
    engines = ("uring", "epoll") if to == "epoll" else ("epoll", "uring")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        a, b = (
            stack.enter_context(LoopThread(engine, name=name))
            for engine, name in zip(engines, "ab", strict=True)
        )
        # Whatever closes it, it is not the source.
        stack.enter_context(served_by(server, a, listener, keep_alive_s=600))
        peer = Peer(listener.getsockname())
        stack.callback(peer.close)
        assert peer.ask() == "a"
        stack.enter_context(served_by(server, b, listener, keep_alive_s=keep_alive_s))
        report = asyncio.run(Migrator().drain(a, to=b))
        assert (report.moved, report.left) == (1, {})
        yield peer


needs_uring = pytest.mark.skipif(not URING.available, reason="no io_uring here")


@needs_uring
@pytest.mark.parametrize("to", ["epoll", "uring"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_moved_connection_that_stays_idle_is_closed_by_its_new_server(
    server: str, to: str
) -> None:
    with moved(server, keep_alive_s=0.3, to=to) as peer:
        assert peer.hears_the_end()


@needs_uring
@pytest.mark.parametrize("server", SERVERS)
def test_the_idle_time_before_a_move_counts(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that moves again and again would never be closed."""
    go_on = keep_alive.go_on

    def go_on_later(protocol: Any, loop: Any, *, idle_s: float) -> None:
        assert 0 <= idle_s < ENDS_WITHIN_S, "it has just been answered"
        go_on(protocol, loop, idle_s=idle_s + 3599.8)

    monkeypatch.setattr(keep_alive, "go_on", go_on_later)

    with moved(server, keep_alive_s=3600, to="uring") as peer:
        assert peer.hears_the_end()


@needs_uring
@pytest.mark.parametrize("server", SERVERS)
def test_after_a_request_the_new_servers_own_timer_counts(server: str) -> None:
    with moved(server, keep_alive_s=0.5, to="uring") as peer:
        assert peer.ask() == "b"
        assert peer.hears_the_end()


@needs_uring
@pytest.mark.parametrize("server", SERVERS)
def test_a_connection_that_has_asked_for_nothing_is_treated_as_a_new_one(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn waits for the first request as long as it takes."""
    resumed: list[Any] = []
    monkeypatch.setattr(keep_alive, "go_on", lambda *args, **_: resumed.append(args))
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        a = stack.enter_context(LoopThread("epoll", name="a"))
        b = stack.enter_context(LoopThread("uring", name="b"))
        for thread in (a, b):
            stack.enter_context(served_by(server, thread, listener, keep_alive_s=600))
        # Whichever accepts it, it moves to the other.
        peer = Peer(listener.getsockname())
        stack.callback(peer.close)
        while not (a.connections or b.connections):
            a.submit(asyncio.sleep(0)).result(ENDS_WITHIN_S)
        source, target = (a, b) if a.connections else (b, a)
        report = asyncio.run(Migrator().drain(source, to=target))
        assert (report.moved, report.left) == (1, {})

        assert peer.ask() == target.name

    assert resumed == []


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

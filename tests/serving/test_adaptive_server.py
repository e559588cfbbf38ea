"""AdaptiveServer: an application on two loops, and connections that move."""

import asyncio
import errno
import os
import socket
import ssl
import threading
from asyncio import to_thread
from pathlib import Path
from typing import Any

import pytest
import trustme
from http_client import Client
from serving.served import (
    WITHIN_S,
    App,
    ask,
    client_of,
    engine_here,
    serving,
)

import aioadapt
from aioadapt import AdaptiveServer, LoopStoppedError, ServeError


async def test_a_live_connection_goes_there_and_back_with_the_engine() -> None:
    async with serving(App()) as server:
        with client_of(server) as client:
            assert await to_thread(client.get) == "epoll"
            sock = client.sock
            for engine in ("uring", "epoll", "uring"):
                switch = await server.switch(engine)
                assert (switch.failed, switch.moved) == ("", 1)
                assert await to_thread(client.get) == engine
                assert client.sock is sock


async def test_new_connections_are_accepted_on_the_engine_that_is_active() -> None:
    async with serving(App()) as server:
        for engine in ("uring", "epoll", "uring"):
            await server.switch(engine)
            for _ in range(5):
                assert await ask(server) == engine


async def test_the_life_cycle_runs_once_on_each_loop_and_ends_on_both() -> None:
    app = App()

    async with serving(app) as server:
        assert app.life == [("epoll", "startup")]
        for engine in ("uring", "epoll", "uring"):
            await server.switch(engine)
        assert app.life == [("epoll", "startup"), ("uring", "startup")]
    ends = {("epoll", "shutdown"), ("uring", "shutdown")}
    assert len(app.life) == 4
    assert set(app.life[2:]) == ends


async def test_the_second_loop_is_made_when_it_is_first_needed() -> None:
    async with serving(App()) as server:
        assert list(server.controller.threads) == ["epoll"]
        await server.switch("uring")
        assert list(server.controller.threads) == ["epoll", "uring"]


async def test_with_a_factory_each_loop_has_its_own_application() -> None:
    made: list[tuple[str, App]] = []

    def make_app() -> App:
        made.append((engine_here(), App()))
        return made[-1][1]

    async with serving(make_app, factory=True) as server:
        await server.switch("uring")
        await server.switch("epoll")

    assert [engine for engine, _ in made] == ["epoll", "uring"]
    for engine, app in made:
        assert app.life == [(engine, "startup"), (engine, "shutdown")]


async def test_without_migrating_live_connections_stay_and_new_ones_follow() -> None:
    async with serving(App(), migrate=False) as server:
        with client_of(server) as old, client_of(server) as new:
            assert await to_thread(old.get) == "epoll"
            switch = await server.switch("uring")
            assert switch.moved == 0
            assert await to_thread(new.get) == "uring"
            assert await to_thread(old.get) == "epoll"


async def test_tls_connections_are_served_and_routed_and_not_moved(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    pem = tmp_path / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(pem)
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async with serving(App(), ssl_certfile=str(pem)) as server:
        assert server.urls[0].startswith("https://127.0.0.1:")
        with client_of(server, context) as old, client_of(server, context) as new:
            assert await to_thread(old.get) == "epoll"
            switch = await server.switch("uring")
            assert (switch.failed, switch.moved) == ("", 0)
            assert await to_thread(new.get) == "uring"
            assert await to_thread(old.get) == "epoll"
            # What `aioadapt top` shows.
            assert server.state().migrating is False


async def test_a_unix_socket_is_served_moved_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async with serving(App(), uds=str(path)) as server:
        assert server.addresses == [str(path)]
        with client_of(server) as client:
            assert await to_thread(client.get) == "epoll"
            assert (await server.switch("uring")).moved == 1
            assert await to_thread(client.get) == "uring"
    assert not path.exists()


async def test_a_unix_socket_that_a_dead_server_left_is_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    path.chmod(0o600)

    async with serving(App(), uds=str(path)) as server:
        assert await ask(server) == "epoll"
        assert path.stat().st_mode & 0o777 == 0o600, "as it was"


async def test_a_unix_socket_in_use_and_a_file_in_the_way_are_left_alone(
    tmp_path: Path,
) -> None:
    path, file = tmp_path / "s", tmp_path / "file"
    file.write_text("precious")

    async with serving(App(), uds=str(path)) as server:
        with pytest.raises(ServeError, match="another server is listening there"):
            await AdaptiveServer(App(), uds=str(path)).start()
        assert await ask(server) == "epoll"
    with pytest.raises(ServeError, match="it exists and is not a socket"):
        await AdaptiveServer(App(), uds=str(file)).start()
    assert file.read_text() == "precious"


async def test_a_name_with_several_addresses_is_listened_on_at_all_of_them() -> None:
    async with serving(App(), host="localhost") as server:
        assert len({address[1] for address in server.addresses}) == 1
        found = socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)
        hosts = {address[0] for *_, address in found}
        assert {address[0] for address in server.addresses} <= hosts


@pytest.mark.parametrize(
    ("host", "reached_at"),
    [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("::1", "::1"), ("::", "::1")],
)
async def test_connections_move_whatever_address_was_named(
    host: str, reached_at: str
) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("no IPv6 here")

    async with serving(App(), host=host) as server:
        port = server.addresses[0][1]
        with Client((reached_at, port)) as client:
            assert await to_thread(client.get) == "epoll"
            assert (await server.switch("uring")).moved == 1
            assert await to_thread(client.get) == "uring"


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def test_a_socket_given_stays_the_callers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(App(), sock=listener) as server:
            assert server.addresses == [listener.getsockname()]
            assert await ask(server) == "epoll"
        assert listener.fileno() != -1


async def test_a_pinned_start_does_not_adapt() -> None:
    async with serving(App(), start="uring", adapt=True) as server:
        assert server.adapting is False
        assert server.start_choice.pinned
        assert await ask(server) == "uring"


def test_where_io_uring_never_gains_it_stays_on_epoll_whatever_the_hint() -> None:
    """`aioadapt calibrate` then stores thresholds that never switch up."""
    never = aioadapt.Thresholds(up_connections=None)
    hint = aioadapt.WorkloadHint.HIGH_CONCURRENCY

    server = AdaptiveServer(App(), hint=hint, thresholds=never)

    assert (server.start_choice.engine, server.adapting) == ("epoll", False)
    assert "does not benefit from io_uring" in server.start_choice.reason
    assert AdaptiveServer(App(), hint=hint).start_choice.engine == "uring"


async def test_the_state_tells_what_it_does() -> None:
    async with serving(App(), migrate=False) as server:
        await server.switch("uring")
        await server.switch("epoll")
        state = await to_thread(server.state)
        assert state.pid == os.getpid()
        assert state.app == "serving.served:App"
        assert state.addresses == server.urls
        assert (state.active, state.adapting, state.migrating) == (
            "epoll",
            False,
            False,
        )
        assert [e.engine for e in state.engines if e.active] == ["epoll"]
        assert state.switched == {"epoll>uring": 1, "uring>epoll": 1}
        assert state.verdicts["asked"] == 2


class FailsOn(App):
    """Its lifespan start-up fails on one of the engines."""

    def __init__(self, engine: str) -> None:
        super().__init__()
        self.engine = engine

    async def on_life(self, kind: str) -> None:
        if kind == "lifespan.startup" and engine_here() == self.engine:
            raise ValueError("no database")


async def test_a_start_up_that_fails_says_what_it_raised() -> None:
    """uvicorn would take it for an application without lifespan support."""

    server = AdaptiveServer(FailsOn("epoll"), port=0)
    with pytest.raises(ServeError, match="ValueError: no database") as caught:
        await server.start()
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_second_start_up_that_fails_leaves_all_on_the_first_engine() -> None:
    async with serving(FailsOn("uring")) as server:
        with client_of(server) as client:
            assert await to_thread(client.get) == "epoll"
            switch = await server.switch("uring")
            assert "ValueError: no database" in switch.failed
            assert await to_thread(client.get) == "epoll"
            assert server.controller.active == "epoll"


async def test_an_application_without_a_life_cycle_is_served() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await App()(scope, receive, send)

    async with serving(app) as server:
        assert await ask(server) == "epoll"


class Sleeper(App):
    """Its requests are answered when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = threading.Event()
        self.cancelled = False

    async def before_answering(self, scope: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self.asleep.set()
        try:
            await self._woken.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)


async def asleep(app: Sleeper, server: AdaptiveServer) -> socket.socket:
    """The client of a request that is being answered."""
    client = socket.create_connection(server.addresses[0], timeout=WITHIN_S)
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await to_thread(app.asleep.wait, WITHIN_S)
    return client


@pytest.mark.parametrize("engine", ["epoll", "uring"])
async def test_a_request_that_is_not_finished_in_time_is_cancelled(engine: str) -> None:
    app = Sleeper()

    settings = {"start": engine, "graceful_s": 0.2, "log_level": "critical"}
    async with serving(app, **settings) as server:
        with await asleep(app, server):
            await server.stop()
    assert app.cancelled


@pytest.mark.parametrize("engine", ["epoll", "uring"])
async def test_idle_connections_are_closed_when_it_stops(engine: str) -> None:
    async with serving(App(), start=engine, keep_alive_s=600) as server:
        clients = [client_of(server) for _ in range(5)]
        for client in clients:
            assert await to_thread(client.get) == engine
    for client in clients:
        assert client.sock.recv(1) == b""
        client.close()


async def test_a_server_that_is_told_to_stop_while_it_starts_leaves_nothing() -> None:
    class SlowStart(App):
        async def on_life(self, kind: str) -> None:
            starts.set()
            await asyncio.get_running_loop().create_future()

    starts = threading.Event()
    server = AdaptiveServer(SlowStart(), port=0, graceful_s=0.2)
    starting = asyncio.ensure_future(server.start())
    assert await to_thread(starts.wait, WITHIN_S)
    starting.cancel()
    await asyncio.wait({starting})
    assert starting.cancelled()
    await server.stop()


async def test_stopping_while_a_switch_is_under_way_leaves_nothing() -> None:
    app = App()

    async with serving(app) as server:
        switching = asyncio.ensure_future(server.switch("uring"))
        await asyncio.sleep(0)
        await server.stop()
        await asyncio.wait({switching})
        assert switching.exception() is None or switching.cancelled()

    assert app.life.count(("epoll", "shutdown")) == 1
    starts = [engine for engine, what in app.life if what == "startup"]
    ends = [engine for engine, what in app.life if what == "shutdown"]
    assert sorted(starts) == sorted(ends)


async def test_stopping_while_the_second_loop_starts_stops_that_too() -> None:
    class SlowStart(App):
        async def on_life(self, kind: str) -> None:
            if kind == "lifespan.startup" and engine_here() == "uring":
                starts.set()
                await asyncio.to_thread(goes_on.wait, WITHIN_S)

    starts, goes_on = threading.Event(), threading.Event()
    app = SlowStart()

    async with serving(app) as server:
        switching = asyncio.ensure_future(server.switch("uring"))
        assert await to_thread(starts.wait, WITHIN_S)
        stopping = asyncio.ensure_future(server.stop())
        # More than enough for one that does not wait.
        await asyncio.wait({stopping}, timeout=0.3)
        goes_on.set()
        await asyncio.wait({switching, stopping})
        ends = [engine for engine, what in app.life if what == "shutdown"]

    assert sorted(ends) == ["epoll", "uring"]


def loop_threads() -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name in ("aioadapt-epoll", "aioadapt-uring")
    ]


async def test_of_several_stops_each_returns_when_everything_has_stopped() -> None:
    app = Sleeper()
    async with serving(app) as server:
        with await asleep(app, server):
            stops = [asyncio.ensure_future(server.stop()) for _ in range(3)]
            for _ in range(10):
                await asyncio.sleep(0)
            assert [each.done() for each in stops] == [False] * 3
            app.wake()
            for each in asyncio.as_completed(stops):
                await each
                assert loop_threads() == []
    assert app.life[-1] == ("epoll", "shutdown")


async def test_a_stop_that_is_cancelled_goes_on() -> None:
    app = Sleeper()
    async with serving(app) as server:
        with await asleep(app, server) as client:
            stopping = asyncio.ensure_future(server.stop())
            while server._sides:
                await asyncio.sleep(0)
            stopping.cancel()
            await asyncio.wait({stopping})
            assert stopping.cancelled()
            assert loop_threads() == ["aioadapt-epoll"]
            app.wake()
            await server.stop()
            assert loop_threads() == []
            assert (await to_thread(client.recv, 100)).startswith(b"HTTP/1.1 200")
    assert not app.cancelled, "it had time until the end of its grace period"
    assert app.life[-1] == ("epoll", "shutdown")


@pytest.mark.parametrize("step", ["not begun", "ends the controller", "has begun"])
def test_a_stop_that_is_cancelled_with_its_loop_leaves_nothing(step: str) -> None:
    """As when Ctrl+C is pressed twice: the runner cancels every task that is left."""
    app = Sleeper()
    threads: list[threading.Thread] = []

    async def main() -> None:
        server = AdaptiveServer(app, port=0, adapt=False, graceful_s=600.0)
        await server.start()
        (await asleep(app, server)).close()
        await server.switch("uring")
        threads.extend(side.thread._thread for side in server._sides)
        stopping = asyncio.ensure_future(server.stop())
        if step == "has begun":
            while server._sides:
                await asyncio.sleep(0)
        elif step == "ends the controller":
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert server._sides
        assert not stopping.done()

    with asyncio.Runner(loop_factory=aioadapt.EpollEventLoop) as runner:
        runner.run(main())

    assert [thread.is_alive() for thread in threads] == [False, False]


async def test_a_server_that_is_stopped_while_it_starts_does_not_start() -> None:
    class SlowStart(App):
        async def on_life(self, kind: str) -> None:
            if kind == "lifespan.startup":
                starts.set()
                await to_thread(goes_on.wait, WITHIN_S)

    starts, goes_on = threading.Event(), threading.Event()
    app = SlowStart()
    server = AdaptiveServer(app, port=0)
    starting = asyncio.ensure_future(server.start())
    assert await to_thread(starts.wait, WITHIN_S)
    stopping = asyncio.ensure_future(server.stop())
    await asyncio.sleep(0)
    goes_on.set()

    with pytest.raises(LoopStoppedError, match="stopped while it started"):
        await starting
    await stopping
    assert app.life == [("epoll", "startup"), ("epoll", "shutdown")]
    assert loop_threads() == []


async def test_stopping_a_server_that_was_not_started_does_nothing() -> None:
    server = AdaptiveServer(App(), port=0)
    await server.stop()
    async with server:
        assert await ask(server) == "epoll"
    assert loop_threads() == []


async def test_a_second_loop_without_descriptors_to_listen_on_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dup = socket.socket.dup
    made: list[socket.socket] = []

    def dup_one(sock: socket.socket) -> socket.socket:
        if made:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(dup(sock))
        return made[0]

    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        async with serving(App(), sock=[one, other]) as server:
            monkeypatch.setattr(socket.socket, "dup", dup_one)
            switch = await server.switch("uring")

            assert "Too many open files" in switch.failed
            assert loop_threads() == ["aioadapt-epoll"]
            assert [sock.fileno() for sock in made] == [-1]
            monkeypatch.undo()
            assert (await server.switch("uring")).failed == ""


async def test_a_second_loop_that_starts_just_as_the_switch_is_cancelled_ends_as_usual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its application has run the startup, so it must run the shutdown."""
    app = App()
    async with serving(app) as server:
        started: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        wrap_future = asyncio.wrap_future

        def cancel_once_started(future: Any, **others: Any) -> asyncio.Future[Any]:
            monkeypatch.undo()
            wrapped = wrap_future(future, **others)
            # The switch learns of both in one iteration.
            wrapped.add_done_callback(lambda _: switching.cancel())
            started.set_result(None)
            return wrapped

        monkeypatch.setattr(asyncio, "wrap_future", cancel_once_started)
        switching = asyncio.ensure_future(server.switch("uring"))
        await started
        await asyncio.wait({switching})

        assert switching.cancelled()
        assert app.life[1:] == [("uring", "startup"), ("uring", "shutdown")]
        assert loop_threads() == ["aioadapt-epoll"]
        assert (await server.switch("uring")).failed == ""


async def test_a_stop_does_not_wait_for_a_side_whose_thread_has_died() -> None:
    async with serving(App()) as server:
        await server.switch("uring")
        thread = server.controller.threads["epoll"]
        thread.loop.call_soon_threadsafe(thread.loop.stop)
        assert await server.wait_for_a_dead_thread() is thread
        await server.stop()
        assert loop_threads() == []


async def test_a_loop_thread_that_dies_is_noticed() -> None:
    async with serving(App()) as server:
        thread = server.controller.threads["epoll"]
        thread.loop.call_soon_threadsafe(thread.loop.stop)
        assert await server.wait_for_a_dead_thread() is thread


async def test_it_can_be_started_once_only() -> None:
    async with serving(App()) as server:
        with pytest.raises(RuntimeError, match="only once"):
            await server.start()
        assert await ask(server) == "epoll"


async def test_an_admin_address_cannot_keep_it_from_serving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(App(), admin=str(tmp_path / "none" / "s")) as server:
        assert await ask(server) == "epoll"

    assert "without the admin socket" in caplog.text


async def test_serve_wants_the_main_thread() -> None:
    with pytest.raises(ServeError, match="use aioadapt.AdaptiveServer"):
        await to_thread(aioadapt.serve, App())


def test_serve_checks_its_settings_before_anything_else() -> None:
    with pytest.raises(ServeError, match="log_level must be one of .* not 'loud'"):
        aioadapt.serve(App(), log_level="loud")


def test_workers_want_a_name_to_import() -> None:
    with pytest.raises(ServeError, match="pass its name"):
        aioadapt.serve(App(), workers=2)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "permission denied"),
        (errno.ENOBUFS, os.strerror(errno.ENOBUFS)),
    ],
)
async def test_an_address_that_is_refused_says_why(
    monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    """The tests may run as root, which may bind any port."""

    def bind(sock: socket.socket, address: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(ServeError, match=f"127.0.0.1:80: {said}"):
        await AdaptiveServer(App(), port=80).start()


def test_both_names_are_exported_lazily() -> None:
    assert aioadapt.AdaptiveServer is AdaptiveServer
    assert callable(aioadapt.serve)
    assert "serve" not in aioadapt.__all__

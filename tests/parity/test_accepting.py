"""What a program can see of the task that makes a connection of an accepted socket."""

import asyncio
import gc
import socket
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Look = Callable[[], object]


class Watched(asyncio.Protocol):
    """Tells the scene what happens."""

    def __init__(self, scene: "Scene") -> None:
        self.scene = scene
        scene.happened("factory")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.scene.happened("made")

    def connection_lost(self, exc: Exception | None) -> None:
        self.scene.happened("lost")


class Scene:
    """A server, one client, and what is to be done at which event."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.events: list[str] = []
        self.then: dict[str, Look] = {}
        self.task: Task[Any] | None = None
        self.server = loop.run_until_complete(
            loop.create_server(lambda: Watched(self), "127.0.0.1", 0)
        )
        self.clients: list[socket.socket] = []

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.server.sockets[0].getsockname())
        client.settimeout(10)
        self.clients.append(client)
        return client

    def happened(self, event: str) -> None:
        self.events.append(event)
        self.then.pop(event, lambda: None)()

    def until(self, event: str) -> None:
        before = len(self.events)

        async def wait() -> None:
            while event not in self.events[before:]:
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(asyncio.wait_for(wait(), 10))

    def passes(self, count: int) -> None:
        for _ in range(count):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def the_task(self) -> Task[Any]:
        """The one that accepts: the others sleep in ``until``."""
        [task] = [
            t for t in asyncio.all_tasks(self.loop) if "_accept_connection2" in repr(t)
        ]
        self.task = task
        return task


@pytest.fixture
def scene(loop: AbstractEventLoop) -> Iterator[Scene]:
    scene = Scene(loop)
    yield scene
    scene.server.close()
    for client in scene.clients:
        client.close()
    scene.passes(3)


def test_the_factory_runs_in_a_task(scene: Scene) -> None:
    seen: list[Any] = []

    def look() -> None:
        task = asyncio.current_task()
        assert isinstance(task, asyncio.Task)
        seen.extend([task in asyncio.all_tasks(), task.done(), task.get_loop()])
        seen.extend([task.cancelled(), task.get_name().startswith("Task-")])

    scene.then["factory"] = look
    scene.connect()
    scene.until("made")
    assert seen == [True, False, scene.loop, False, True]


def test_connection_made_does_not_run_in_a_task(scene: Scene) -> None:
    seen: list[Any] = []
    scene.then["made"] = lambda: seen.append(asyncio.current_task())
    scene.connect()
    scene.until("made")
    assert seen == [None]


def test_no_task_is_left(scene: Scene) -> None:
    for _ in range(3):
        scene.connect()
        scene.until("made")
        scene.passes(3)
        assert asyncio.all_tasks(scene.loop) == set()
    scene.clients.pop().close()
    scene.until("lost")
    assert asyncio.all_tasks(scene.loop) == set()


def test_a_task_that_the_factory_cancels_closes_the_connection(scene: Scene) -> None:
    def cancel() -> None:
        task = scene.task = asyncio.current_task()
        assert task is not None
        task.cancel()

    scene.then["factory"] = cancel
    client = scene.connect()
    scene.until("lost")
    assert scene.events == ["factory", "made", "lost"]
    assert client.recv(1) == b""
    assert scene.task is not None
    assert scene.task.done()


@pytest.mark.parametrize("event", ["factory", "made"])
def test_a_task_that_a_callback_cancels_closes_the_connection(
    scene: Scene, event: str
) -> None:
    cancelled: list[bool] = []
    scene.then[event] = lambda: scene.loop.call_soon(
        lambda: cancelled.append(scene.the_task().cancel())
    )
    client = scene.connect()
    if event == "made":
        # The callback after it may come too late: in connection_made itself, then.
        scene.then[event] = lambda: cancelled.append(scene.the_task().cancel())
    scene.until("lost")
    assert cancelled == [True]
    assert scene.events == ["factory", "made", "lost"]
    assert client.recv(1) == b""


@pytest.mark.parametrize(
    ("event", "so_far"), [("factory", ["factory"]), ("made", ["factory", "made"])]
)
def test_the_tasks_of_a_loop_that_is_stopped_can_be_cancelled(
    scene: Scene, event: str, so_far: list[str]
) -> None:
    """As aiosmtpd's controller does when a factory takes too long."""
    scene.then[event] = scene.loop.stop
    client = scene.connect()
    scene.loop.run_forever()
    assert scene.events == so_far

    task = scene.the_task()
    assert task.cancel()
    done, _ = scene.loop.run_until_complete(asyncio.wait({task}))
    assert task in done
    scene.loop.run_until_complete(task)
    scene.passes(3)
    assert scene.events == ["factory", "made", "lost"]
    assert client.recv(1) == b""


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # asyncio's socket
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_task_cancelled_before_the_factory_ran_drops_the_connection(
    scene: Scene,
) -> None:
    ours, theirs = socket.socketpair()
    cancelled: list[bool] = []

    def after_the_accept() -> None:
        ours.recv(1)
        cancelled.append(scene.the_task().cancel())

    with ours, theirs:
        scene.loop.add_reader(ours, after_the_accept)
        # In this order epoll reports them, in one batch.
        client = scene.connect()
        theirs.send(b"x")
        scene.passes(4)
        scene.loop.remove_reader(ours)
    assert cancelled == [True]
    assert scene.events == []
    scene.task = None
    gc.collect()
    assert client.recv(1) == b""


def test_the_task_can_be_awaited(scene: Scene) -> None:
    results: list[Any] = []

    async def wait(task: Task[Any]) -> None:
        results.append(await task)

    scene.then["factory"] = lambda: scene.loop.call_soon(
        lambda: results.append(scene.loop.create_task(wait(scene.the_task())))
    )
    scene.connect()
    scene.until("made")
    scene.passes(3)
    [waiting, result] = results
    assert waiting.done()
    assert result is None
    assert scene.task is not None
    assert scene.task.done()
    assert not scene.task.cancelled()


def test_a_task_that_the_program_keeps_is_not_the_next_connections(
    scene: Scene,
) -> None:
    kept: list[Any] = []
    for _ in range(3):
        scene.then["factory"] = lambda: kept.append(asyncio.current_task())
        scene.connect()
        scene.until("made")
        scene.passes(3)
    assert len({id(task) for task in kept}) == 3
    assert [task.done() for task in kept] == [True] * 3


@pytest.mark.ours_only
def test_one_task_stands_for_all_connections_but_those_whose_task_is_kept(
    scene: Scene,
) -> None:
    seen: list[int] = []
    kept: list[Any] = []
    scene.then["factory"] = lambda: kept.append(asyncio.current_task())
    for _ in range(8):
        scene.connect()
        scene.until("made")
        scene.passes(3)
        scene.then["factory"] = lambda: seen.append(id(asyncio.current_task()))
    assert len(seen) == 7
    assert len(set(seen)) == 1


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # asyncio's socket
def test_a_factory_that_fails_ends_its_task(scene: Scene) -> None:
    def fail() -> None:
        kept.append(asyncio.current_task())
        raise ValueError("planted")

    kept: list[Any] = []
    scene.then["factory"] = fail
    client = scene.connect()
    scene.until("factory")
    scene.passes(3)
    assert client.recv(1) == b""
    assert kept[0].done()
    assert kept[0].exception() is None
    assert asyncio.all_tasks(scene.loop) == set()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # asyncio's socket
def test_a_factory_that_ends_the_run_is_reported_as_a_tasks_exception(
    scene: Scene,
) -> None:
    def leave() -> None:
        raise SystemExit(3)

    told: list[str] = []
    scene.loop.set_exception_handler(lambda _, about: told.append(about["message"]))
    scene.then["factory"] = leave
    scene.connect()
    with pytest.raises(SystemExit):
        scene.until("never")
    gc.collect()
    assert told == ["Task exception was never retrieved"]


def test_a_task_factory_gets_asyncios_coroutine(scene: Scene) -> None:
    names: list[str] = []

    def factory(loop: AbstractEventLoop, coro: Any, **options: Any) -> Task[Any]:
        names.append(coro.__qualname__.rpartition(".")[2])
        return asyncio.Task(coro, loop=loop, **options)

    scene.loop.set_task_factory(factory)
    scene.connect()
    scene.until("made")
    assert "_accept_connection2" in names


@pytest.mark.ours_only  # asyncio's socket is closed when it is collected
def test_a_loop_closed_between_accept_and_factory_closes_the_connection(
    loop: AbstractEventLoop,
) -> None:
    scene = Scene(loop)
    client = scene.connect()
    loop.call_soon(loop.stop)
    loop.run_forever()
    scene.server.close()
    loop.close()
    assert scene.events == []
    assert client.recv(1) == b""
    client.close()

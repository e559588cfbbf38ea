"""Fixtures for scripted moves: two hosts, and a loop that awaits the moves."""

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import pytest
from loops import run_iterations

from aioadapt import LoopThread, Migrator, MoveResult
from aioadapt.migration.connection import Connection

from .plain_loop import Script
from .scripted import ScriptedHost, ScriptedStream, settling

T = TypeVar("T")


class AskersLoop(asyncio.SelectorEventLoop):
    """Runs the code that awaits a move; the test controls its clock."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def run_iterations(self) -> None:
        """Four are enough for a task to finish."""
        run_iterations(self, 4)


class Asked(Generic[T]):
    """A call to the migrator that is in progress."""

    def __init__(self, loop: AskersLoop, question: Coroutine[Any, Any, T]) -> None:
        self._loop = loop
        self.task = loop.create_task(question)
        loop.run_iterations()

    @property
    def answered(self) -> bool:
        self._loop.run_iterations()
        return self.task.done()

    def answer(self) -> T:
        """Its result, which must be there by now."""
        assert self.answered
        return self.task.result()

    def time_passes(self, seconds: float) -> None:
        self._loop.now += seconds
        self._loop.run_iterations()

    def is_cancelled(self) -> None:
        self.task.cancel()
        assert self.answered
        assert self.task.cancelled()


class UnderWay(NamedTuple):
    """A move in progress, and what it moves."""

    stream: ScriptedStream
    connection: Connection
    peer: socket.socket
    asked: Asked[MoveResult]


class Scene:
    def __init__(self, loop: AskersLoop) -> None:
        self.a = ScriptedHost("a", "epoll")
        self.b = ScriptedHost("b", "uring")
        self.migrator = Migrator(max_in_flight=4)
        self._loop = loop

    def deliver_all(self) -> None:
        """Deliver until both inboxes are empty; settling streams stay so."""
        while self.a.loop.deliver() + self.b.loop.deliver():
            pass

    def goes_through(self, streams: list[ScriptedStream]) -> None:
        """Repeat: detach what is settling, then deliver both inboxes."""
        self.deliver_all()
        while waiting := settling(streams):
            for stream in waiting:
                stream.detaches()
            self.deliver_all()

    def asked(self, question: Coroutine[Any, Any, T]) -> Asked[T]:
        return Asked(self._loop, question)

    def move_asked(self) -> UnderWay:
        """A move from a to b that a's loop has not seen yet."""
        stream, connection, peer = self.a.connected()
        asked = self.asked(self.migrator.move(connection, to=self.b.thread))
        return UnderWay(stream, connection, peer, asked)

    def move_settling(self) -> UnderWay:
        """The source has the message, and the stream is settling."""
        move = self.move_asked()
        self.a.loop.deliver()
        return move

    def move_carried(self) -> UnderWay:
        """The connection is in the target's inbox."""
        move = self.move_settling()
        move.stream.detaches()
        return move


@pytest.fixture
def scene() -> Iterator[Scene]:
    loop = AskersLoop()
    scene = Scene(loop)
    yield scene
    hosts = (scene.a, scene.b)
    unanswered = [(host, host.loop.inbox, host.stop_callbacks) for host in hosts]
    for host in hosts:
        host.close()
    loop.close()
    assert unanswered == [(scene.a, [], set()), (scene.b, [], set())]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script()
    monkeypatch.setattr("aioadapt.loop_thread.new_event_loop", script.new_event_loop)
    return script


@pytest.fixture
def thread(script: Script) -> Iterator[LoopThread]:
    with LoopThread("auto", name="t") as thread:
        yield thread

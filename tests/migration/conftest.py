"""The scene of a scripted move: two hosts, and somebody who asks."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Generic, TypeVar

import pytest

from aioadapt import LoopThread, Migrator

from .plain_loop import Script
from .scripted import ScriptedHost, ScriptedStream, resting

T = TypeVar("T")


class AskersLoop(asyncio.SelectorEventLoop):
    """Whoever awaits a move runs here; its time passes when the test says so."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def run_iterations(self) -> None:
        """Run what can be run without waiting; four iterations settle a task."""
        for _ in range(4):
            self.call_soon(self.stop)
            self.run_forever()


class Asked(Generic[T]):
    """A question to the migrator that is under way."""

    def __init__(self, loop: AskersLoop, question: Coroutine[Any, Any, T]) -> None:
        self._loop = loop
        self.task = loop.create_task(question)
        loop.run_iterations()

    @property
    def answered(self) -> bool:
        self._loop.run_iterations()
        return self.task.done()

    def answer(self) -> T:
        """It must be there by now."""
        assert self.answered
        return self.task.result()

    def time_passes(self, seconds: float) -> None:
        self._loop.now += seconds
        self._loop.run_iterations()

    def is_cancelled(self) -> None:
        self.task.cancel()
        assert self.answered
        assert self.task.cancelled()


class Scene:
    def __init__(self, loop: AskersLoop) -> None:
        self.a = ScriptedHost("a", "epoll")
        self.b = ScriptedHost("b", "uring")
        self.migrator = Migrator(max_in_flight=4)
        self._loop = loop

    def deliver_all(self) -> None:
        """Until both inboxes are empty; whatever rests then goes on resting."""
        while self.a.loop.deliver() + self.b.loop.deliver():
            pass

    def goes_through(self, streams: list[ScriptedStream]) -> None:
        """LoopCore by turn: what rests is let go, then both come to their inboxes."""
        self.deliver_all()
        while at_rest := resting(streams):
            for stream in at_rest:
                stream.lets_go()
            self.deliver_all()

    def asked(self, question: Coroutine[Any, Any, T]) -> Asked[T]:
        return Asked(self._loop, question)


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

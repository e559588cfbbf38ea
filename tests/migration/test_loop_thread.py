"""LoopThread: what runs on it, and in which context."""

import asyncio
import contextvars
import inspect
import threading

import pytest

from aioadapt import (
    LoopThread,
)

from .plain_loop import ENDS_WITHIN_S, Script, where


def test_what_is_submitted_runs_on_its_thread(thread: LoopThread) -> None:
    found = thread.submit(where()).result(ENDS_WITHIN_S)

    assert found.name == "t"
    assert found is not threading.current_thread()


def test_what_is_submitted_sees_the_submitters_context(thread: LoopThread) -> None:
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("the submitter's")

    async def look() -> str:
        return variable.get()

    assert thread.submit(look()).result(ENDS_WITHIN_S) == "the submitter's"


def test_what_is_submitted_sees_the_context_of_the_moment_of_submitting() -> None:
    """Not the context in which the loop runs it; and it changes only a copy."""
    variable = contextvars.ContextVar("variable", default="default")

    async def look_and_set() -> str:
        found = variable.get()
        variable.set("the task's")
        return found

    with LoopThread("epoll") as thread:
        held_up, go_on = threading.Event(), threading.Event()

        async def hold_up() -> None:
            held_up.set()
            go_on.wait(ENDS_WITHIN_S)

        blocked = thread.submit(hold_up())
        assert held_up.wait(ENDS_WITHIN_S)
        variable.set("when submitting")
        future = thread.submit(look_and_set())
        variable.set("later")
        go_on.set()

        assert future.result(ENDS_WITHIN_S) == "when submitting"
        blocked.result(ENDS_WITHIN_S)
        assert variable.get() == "later"


def test_an_error_reaches_the_submitter(thread: LoopThread) -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        thread.submit(fail()).result(ENDS_WITHIN_S)


def test_cancelling_the_future_cancels_the_task(thread: LoopThread) -> None:
    began, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    future = thread.submit(wait())
    assert began.wait(ENDS_WITHIN_S)

    assert future.cancel()

    assert ended.wait(ENDS_WITHIN_S)


def test_a_future_cancelled_before_the_loop_came_to_it_runs_nothing(
    thread: LoopThread,
) -> None:
    blocked, submit_new = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        submit_new.wait(ENDS_WITHIN_S)

    thread.submit(block())
    assert blocked.wait(ENDS_WITHIN_S)
    coro = where()
    future = thread.submit(coro)

    assert future.cancel()
    submit_new.set()

    thread.submit(where()).result(ENDS_WITHIN_S)
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED


def test_only_coroutines_can_be_submitted(thread: LoopThread) -> None:
    with pytest.raises(TypeError, match="runs coroutines, not 3"):
        thread.submit(3)  # type: ignore[arg-type]


def test_its_streams_are_watched_from_the_start(thread: LoopThread) -> None:
    assert thread.loop.watch_http1
    assert thread.connections == []


def test_the_engine_is_what_the_loop_says(script: Script) -> None:
    thread = LoopThread("auto", name="t")
    assert thread.engine == "auto"

    with thread:
        assert thread.engine == "plain"
        assert repr(thread) == "<LoopThread 't' on plain: running>"


def test_names_are_made_up_and_differ() -> None:
    names = {LoopThread("epoll").name for _ in range(3)}

    assert len(names) == 3
    assert all(name.startswith("epoll-") for name in names)

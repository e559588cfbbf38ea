"""How a LoopThread ends: stopped, or by a failure."""

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import AsyncIterator

import pytest

from aioadapt import (
    LoopStoppedError,
    LoopThread,
    UnknownEngineError,
    UringUnavailableError,
    WrongThreadError,
    uring_support,
)

from .plain_loop import ENDS_WITHIN_S, Script, where

# -- Stopping.


def test_the_loop_is_closed_on_its_own_thread(script: Script) -> None:
    with LoopThread(name="t"):
        pass

    (loop,) = script.loops
    assert loop.is_closed()
    assert loop.closed_by is not None
    assert loop.closed_by.name == "t"
    assert not loop.closed_by.is_alive()


def test_stopping_cancels_what_runs_and_waits_for_its_end(thread: LoopThread) -> None:
    began = threading.Event()
    done: list[str] = []

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            done.append("cleaned up")

    future = thread.submit(wait())
    assert began.wait(ENDS_WITHIN_S)

    thread.stop()

    assert done == ["cleaned up"]
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(ENDS_WITHIN_S)


def test_stopping_ends_async_generators_and_executors(thread: LoopThread) -> None:
    done: list[str] = []
    workers: list[threading.Thread] = []

    async def count() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            done.append("generator closed")

    counting = count()

    async def main() -> None:
        await anext(counting)
        worker = asyncio.get_running_loop().run_in_executor(
            None, threading.current_thread
        )
        workers.append(await worker)

    thread.submit(main()).result(ENDS_WITHIN_S)

    thread.stop()

    assert done == ["generator closed"]
    assert not workers[0].is_alive()


def test_stop_callbacks_run_on_its_thread_before_any_task_is_cancelled(
    thread: LoopThread,
) -> None:
    heard: list[str] = []
    began = threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            heard.append("cancelled")

    def callback() -> None:
        heard.append(threading.current_thread().name)
        assert not thread.running

    thread.stop_callbacks.add(callback)
    thread.submit(wait())
    assert began.wait(ENDS_WITHIN_S)

    thread.stop()

    assert heard == ["t", "cancelled"]


def test_a_task_that_cleans_up_may_still_use_the_executor(thread: LoopThread) -> None:
    """A loop that accepts no more calls would never get the result."""
    began = threading.Event()
    done: list[int] = []

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            done.append(await asyncio.to_thread(lambda: 3))

    thread.submit(wait())
    assert began.wait(ENDS_WITHIN_S)

    thread.stop(ENDS_WITHIN_S)

    assert done == [3]


def test_a_loop_that_stops_begins_nothing_new(thread: LoopThread) -> None:
    began = threading.Event()
    futures: list[concurrent.futures.Future[threading.Thread]] = []

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            futures.append(thread.submit(where()))
            await asyncio.to_thread(futures[0].exception)

    thread.submit(wait())
    assert began.wait(ENDS_WITHIN_S)

    thread.stop(ENDS_WITHIN_S)

    with pytest.raises(
        LoopStoppedError, match="'t' on plain: stopping> is not running"
    ):
        futures[0].result()


def test_stopping_twice_does_nothing(thread: LoopThread) -> None:
    thread.stop()
    thread.stop()

    assert not thread.running
    assert thread.connections == []
    assert repr(thread) == "<LoopThread 't' on plain: stopped>"


def test_a_second_stop_leaves_the_clean_up_alone(thread: LoopThread) -> None:
    """The loop runs again for the clean-up, and stopping that run would end it."""
    cleaning, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.to_thread(go_on.wait, ENDS_WITHIN_S)
            done.append("cleaned up")

    thread.submit(wait())
    thread.submit(asyncio.sleep(0)).result(ENDS_WITHIN_S)
    with pytest.raises(TimeoutError):
        thread.stop(0.0)
    assert cleaning.wait(ENDS_WITHIN_S)

    with pytest.raises(TimeoutError):
        thread.stop(0.0)
    iterated = threading.Event()
    thread.loop.call_soon_threadsafe(iterated.set)
    assert iterated.wait(ENDS_WITHIN_S), "it would have stopped by now"
    go_on.set()
    thread.stop(ENDS_WITHIN_S)

    assert done == ["cleaned up"]


def test_a_stop_that_was_queued_behind_the_loops_own_leaves_the_clean_up_alone(
    thread: LoopThread,
) -> None:
    """Two threads stop it at once: the second request runs when it cleans up."""
    done: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            done.append("cleaned up")

    async def stop_and_queue_another() -> None:
        def stop_again() -> None:
            with pytest.raises(TimeoutError):
                thread.stop(0.0)

        loop = asyncio.get_running_loop()
        loop.stop()
        another = threading.Thread(target=stop_again)
        another.start()
        another.join()

    thread.submit(wait())
    thread.submit(asyncio.sleep(0)).result(ENDS_WITHIN_S)
    stopping = thread.submit(stop_and_queue_another())
    stopping.result(ENDS_WITHIN_S)
    thread.stop(ENDS_WITHIN_S)

    assert done == ["cleaned up"]


def test_all_who_stop_it_wait_for_its_end(thread: LoopThread) -> None:
    cleaning, go_on = threading.Event(), threading.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.to_thread(go_on.wait, ENDS_WITHIN_S)

    def stop() -> bool:
        thread.stop(ENDS_WITHIN_S)
        return thread.loop.is_closed()

    thread.submit(wait())
    thread.submit(asyncio.sleep(0)).result(ENDS_WITHIN_S)
    with concurrent.futures.ThreadPoolExecutor() as callers:
        stops = [callers.submit(stop) for _ in range(3)]
        assert cleaning.wait(ENDS_WITHIN_S)
        assert not any(each.done() for each in stops)
        go_on.set()
        assert [each.result(ENDS_WITHIN_S) for each in stops] == [True] * 3


@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_a_second_stop_leaves_the_clean_up_of_a_native_loop_alone(engine: str) -> None:
    if engine == "uring" and not uring_support().available:
        pytest.skip("no io_uring here")
    cleaning, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.to_thread(go_on.wait, ENDS_WITHIN_S)
            done.append("cleaned up")

    with LoopThread(engine) as thread:
        thread.submit(wait())
        thread.submit(asyncio.sleep(0)).result(ENDS_WITHIN_S)
        with pytest.raises(TimeoutError):
            thread.stop(0.0)
        assert cleaning.wait(ENDS_WITHIN_S)
        with pytest.raises(TimeoutError):
            thread.stop(0.0)
        go_on.set()

    assert done == ["cleaned up"]


def test_a_thread_being_started_is_stopped_once_it_has_started(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that comes between leaving "not started" and the thread's first step
    used to find nothing to stop."""
    thread = LoopThread(name="t")
    starting = threading.Event()
    start = thread._thread.start

    def start_while_another_stops() -> None:
        stopper.start()
        assert starting.wait(ENDS_WITHIN_S)
        start()

    def stop() -> None:
        starting.set()
        thread.stop(ENDS_WITHIN_S)

    stopper = threading.Thread(target=stop)
    monkeypatch.setattr(thread._thread, "start", start_while_another_stops)

    thread.start()
    stopper.join(ENDS_WITHIN_S)

    assert not thread._thread.is_alive()


def test_a_thread_that_was_never_started_stops_at_once() -> None:
    thread = LoopThread(name="t")

    thread.stop()

    with pytest.raises(RuntimeError, match="can only be started once"):
        thread.start()


def test_a_thread_is_started_once(thread: LoopThread) -> None:
    with pytest.raises(RuntimeError, match="'t' on plain: running> can only"):
        thread.start()


def test_a_thread_cannot_wait_for_its_own_end(thread: LoopThread) -> None:
    async def stop() -> None:
        thread.stop()

    with pytest.raises(WrongThreadError, match="from its own thread"):
        thread.submit(stop()).result(ENDS_WITHIN_S)


def test_a_loop_stopped_by_its_server_ends_the_thread(thread: LoopThread) -> None:
    thread.loop.call_soon_threadsafe(thread.loop.stop)

    thread.stop()

    assert thread.loop.is_closed()


def test_a_stop_that_takes_too_long_says_so_and_goes_on(thread: LoopThread) -> None:
    blocked, submit_new = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        submit_new.wait(ENDS_WITHIN_S)

    thread.submit(block())
    assert blocked.wait(ENDS_WITHIN_S)

    with pytest.raises(TimeoutError, match=r"'t'.* did not stop within 0.0 s"):
        thread.stop(timeout_s=0.0)

    submit_new.set()
    thread.stop(ENDS_WITHIN_S)


@pytest.mark.parametrize("started", [False, True])
def test_a_thread_that_does_not_run_takes_nothing(
    script: Script, started: bool
) -> None:
    thread = LoopThread(name="t")
    if started:
        thread.start()
        thread.stop()
    coro = where()

    with pytest.raises(LoopStoppedError, match=r"'t'.* is not running"):
        thread.submit(coro)

    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED


def test_what_the_loop_had_not_come_to_is_told_that_it_stopped(
    thread: LoopThread,
) -> None:
    """With call_soon_threadsafe its future would wait forever."""
    blocked, submit_new = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        submit_new.wait(ENDS_WITHIN_S)
        thread.loop.stop()

    thread.submit(block())
    assert blocked.wait(ENDS_WITHIN_S)
    # The loop stops after one iteration; this call would run in the next.
    late = thread.submit(where())
    thread.loop.close_inbox()
    submit_new.set()

    with pytest.raises(LoopStoppedError):
        late.result(ENDS_WITHIN_S)


# -- Failures.


@pytest.mark.parametrize("when", ["error_on_making", "error_on_running"])
def test_a_loop_that_cannot_be_had_is_the_callers_error(
    script: Script, when: str
) -> None:
    """An io_uring loop creates its ring when it first runs."""
    error = UringUnavailableError(1, "io_uring is switched off")
    setattr(script, when, error)
    thread = LoopThread("uring", name="t")

    with pytest.raises(UringUnavailableError) as caught:
        thread.start()

    assert caught.value is error
    assert all(loop.is_closed() for loop in script.loops)
    assert "failed with UringUnavailableError" in repr(thread)
    assert "t" not in [alive.name for alive in threading.enumerate()]


def test_an_unknown_engine_is_the_callers_error() -> None:
    with pytest.raises(UnknownEngineError, match="kqueue"):
        LoopThread("kqueue").start()


def test_a_thread_that_dies_reports_it(
    thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fatal(KeyboardInterrupt):
        pass

    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)

    async def die() -> None:
        raise Fatal("broken")

    with pytest.raises(Fatal):
        thread.submit(die()).result(ENDS_WITHIN_S)
    thread.stop()

    (report,) = reported
    assert report.exc_type is Fatal
    assert "failed with Fatal('broken')" in repr(thread)
    with pytest.raises(LoopStoppedError, match="failed with Fatal") as caught:
        thread.submit(where())
    assert isinstance(caught.value.__cause__, Fatal)
    assert thread.loop.is_closed()

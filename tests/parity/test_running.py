"""Running, stopping, running again, closing."""

import asyncio
import gc
import inspect
import sys
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loops import LoopFactory, Reported, Run, run_iterations


def test_stop_before_run_forever_runs_one_iteration(loop: AbstractEventLoop) -> None:
    ran: list[str] = []
    loop.call_soon(ran.append, "before")
    loop.call_soon(lambda: loop.call_soon(ran.append, "next iteration"))
    loop.stop()

    loop.run_forever()
    assert ran == ["before"]

    run_iterations(loop)
    assert ran == ["before", "next iteration"]


def test_stop_inside_a_callback_lets_the_iteration_end(loop: AbstractEventLoop) -> None:
    ran: list[str] = []
    loop.call_soon(ran.append, "before")
    loop.call_soon(loop.stop)
    loop.call_soon(ran.append, "after")
    loop.call_soon(lambda: loop.call_soon(ran.append, "next iteration"))

    loop.run_forever()

    assert ran == ["before", "after"]


def test_stop_twice_stops_one_run_only(loop: AbstractEventLoop) -> None:
    loop.call_soon(loop.stop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    ran: list[str] = []
    loop.call_later(0.01, ran.append, "second run")
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert ran == ["second run"]


def test_a_loop_can_run_many_times(loop: AbstractEventLoop) -> None:
    async def number(value: int) -> int:
        await asyncio.sleep(0)
        return value

    assert [loop.run_until_complete(number(n)) for n in range(50)] == list(range(50))


def test_running_says_so_and_is_found_by_get_running_loop(
    loop: AbstractEventLoop, run: Run
) -> None:
    assert not loop.is_running()

    async def main() -> None:
        assert loop.is_running()
        assert asyncio.get_running_loop() is loop

    run(main())
    assert not loop.is_running()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


async def test_a_running_loop_cannot_be_run_again(loop: AbstractEventLoop) -> None:
    with pytest.raises(RuntimeError, match="already running"):
        loop.run_until_complete(loop.create_future())
    assert asyncio.get_running_loop() is loop


@pytest.mark.ours_only
async def test_a_refused_run_forever_leaves_the_run_that_goes_on_alone(
    loop: AbstractEventLoop,
) -> None:
    """Here CPython 3.13.0's asyncio no longer knows that the loop is running."""

    with pytest.raises(RuntimeError, match="already running"):
        loop.run_forever()
    assert loop.is_running()
    assert asyncio.get_running_loop() is loop


async def test_a_nested_run_until_complete_leaves_its_coroutine_unawaited(
    loop: AbstractEventLoop,
) -> None:
    async def nested() -> None: ...

    coroutine = nested()
    with pytest.raises(RuntimeError, match="already running"):
        loop.run_until_complete(coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    coroutine.close()


def test_no_other_loop_can_run_while_one_runs(
    loop_factory: LoopFactory, run: Run
) -> None:
    other = loop_factory()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="while another loop is running"):
            other.run_until_complete(other.create_future())
        assert not other.is_running()

    run(main())
    other.close()


def test_run_until_complete_returns_the_result(loop: AbstractEventLoop) -> None:
    async def main() -> str:
        return "result"

    assert loop.run_until_complete(main()) == "result"
    future = loop.create_future()
    loop.call_soon(future.set_result, "future")
    assert loop.run_until_complete(future) == "future"


def test_run_until_complete_raises_the_exception(loop: AbstractEventLoop) -> None:
    class Particular(Exception):
        pass

    async def main() -> None:
        raise Particular

    with pytest.raises(Particular):
        loop.run_until_complete(main())


def test_run_until_complete_wants_an_awaitable(loop: AbstractEventLoop) -> None:
    with pytest.raises(TypeError):
        loop.run_until_complete(None)  # type: ignore[arg-type]


def test_run_until_complete_of_another_loops_future_is_refused(
    loop: AbstractEventLoop, loop_factory: LoopFactory
) -> None:
    other = loop_factory()
    with pytest.raises(ValueError, match="different"):
        loop.run_until_complete(other.create_future())
    other.close()


def test_a_stop_before_completion_is_an_error(loop: AbstractEventLoop) -> None:
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="stopped before Future completed"):
        loop.run_until_complete(future)
    future.cancel()


def test_a_running_loop_cannot_be_closed(loop: AbstractEventLoop, run: Run) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
            loop.close()

    run(main())
    assert not loop.is_closed()


def test_close_can_be_called_twice(loop: AbstractEventLoop) -> None:
    loop.close()
    loop.close()
    assert loop.is_closed()
    assert not loop.is_running()


def test_a_loop_that_never_ran_can_be_closed(loop_factory: LoopFactory) -> None:
    loop_factory().close()


def test_a_closed_loop_does_not_run(loop: AbstractEventLoop) -> None:
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_forever()
    future: asyncio.Future[None] = asyncio.Future(loop=loop)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_until_complete(future)


def test_the_repr_tells_the_state(loop: AbstractEventLoop, run: Run) -> None:
    async def main() -> None:
        assert "running=True" in repr(loop)
        assert "closed=False" in repr(loop)

    run(main())
    assert "running=False" in repr(loop)
    loop.close()
    assert "closed=True" in repr(loop)


def test_a_loop_dropped_without_close_warns(loop_factory: LoopFactory) -> None:
    """The warning tells a program that it leaks loops."""
    loop = loop_factory()
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        loop.__del__()  # type: ignore[attr-defined]
    loop.close()


def test_the_loop_has_attributes_of_its_own(loop: AbstractEventLoop) -> None:
    """Tools replace methods of a loop, so it needs a ``__dict__``."""
    ran: list[str] = []
    loop.call_soon_threadsafe = lambda *_: ran.append("mine")  # type: ignore[assignment, method-assign]
    loop.call_soon_threadsafe(print)
    del loop.call_soon_threadsafe
    assert ran == ["mine"]
    assert isinstance(loop, asyncio.SelectorEventLoop)


def test_a_run_leaves_the_threads_hooks_as_they_were(
    loop: AbstractEventLoop, run: Run
) -> None:
    hooks = sys.get_asyncgen_hooks()
    depth = sys.get_coroutine_origin_tracking_depth()

    async def main() -> None:
        assert sys.get_asyncgen_hooks() != hooks

    run(main())
    loop.set_debug(True)
    run(main())

    assert sys.get_asyncgen_hooks() == hooks
    assert sys.get_coroutine_origin_tracking_depth() == depth


def test_shutdown_asyncgens_finishes_what_was_left_half_iterated(
    loop: AbstractEventLoop, run: Run
) -> None:
    finished: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            finished.append("numbers")

    kept = numbers()

    async def main() -> None:
        async for _ in kept:
            break

    run(main())
    assert finished == []
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert finished == ["numbers"]


async def test_an_asyncgen_dropped_half_iterated_is_closed_by_the_loop(
    loop: AbstractEventLoop,
) -> None:
    finished = asyncio.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            finished.set()

    iterator = numbers()
    await anext(iterator)
    del iterator
    await finished.wait()


def test_a_runner_runs_on_a_loop_of_this_kind(loop_factory: LoopFactory) -> None:
    async def main() -> int:
        await asyncio.sleep(0)
        return 42

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(main()) == 42
        assert runner.run(main()) == 42


def test_a_task_left_behind_is_reported_when_it_is_dropped(
    loop: AbstractEventLoop, reported: Reported
) -> None:
    async def waits() -> None:
        await loop.create_future()

    task = loop.create_task(waits())
    run_iterations(loop)
    del task
    gc.collect()

    assert reported.pop()["message"] == "Task was destroyed but it is pending!"


@pytest.mark.skipif(sys.version_info < (3, 13), reason="asyncio has it since 3.13")
def test_a_program_with_its_own_outer_loop_runs_one_iteration_at_a_time(
    loop: AbstractEventLoop,
) -> None:
    """A GUI's loop, for example: asyncio's _run_forever_setup is for this."""
    ran: list[int] = []

    def again() -> None:
        ran.append(len(ran))
        if len(ran) < 10:
            loop.call_soon(again)

    stepped: Any = loop
    loop.call_soon(again)
    stepped._run_forever_setup()
    try:
        assert loop.is_running()
        for number in range(10):
            stepped._run_once()
            assert ran == list(range(number + 1))
    finally:
        stepped._run_forever_cleanup()
    assert not loop.is_running()


def test_an_iteration_can_be_run_from_inside_a_callback(
    loop: AbstractEventLoop,
) -> None:
    stepped: Any = loop
    ran: list[str] = []

    def outer() -> None:
        loop.call_soon(ran.append, "inner")
        stepped._run_once()
        ran.append("outer")
        loop.call_soon(loop.stop)

    loop.call_soon(outer)
    loop.run_forever()
    assert ran == ["inner", "outer"]

"""Task factories, eager tasks, and standard library features built on a loop."""

import asyncio
import contextvars
import sys
from asyncio import AbstractEventLoop
from collections.abc import Coroutine
from typing import Any, cast

import pytest
from loops import Run


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


async def test_create_task_runs_the_coroutine_later(loop: AbstractEventLoop) -> None:
    begun: list[str] = []

    async def child() -> None:
        begun.append("begun")

    task = loop.create_task(child(), name="a name")
    assert begun == []
    assert task.get_name() == "a name"
    await task
    assert begun == ["begun"]


async def test_tasks_are_the_standard_librarys(loop: AbstractEventLoop) -> None:
    task = loop.create_task(answer())
    assert type(task) is asyncio.Task
    assert type(loop.create_future()) is asyncio.Future
    assert task in asyncio.all_tasks()
    assert await task == 42


def test_create_task_on_a_closed_loop_is_refused(loop: AbstractEventLoop) -> None:
    loop.close()
    coroutine = answer()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.create_task(coroutine)
    coroutine.close()


def test_a_task_factory_makes_every_task(loop: AbstractEventLoop, run: Run) -> None:
    class Mine(asyncio.Task[Any]):
        pass

    given: list[dict[str, Any]] = []

    def factory(
        loop: AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Future[Any]:
        given.append(options)
        return Mine(coroutine, loop=loop, **options)

    assert loop.get_task_factory() is None
    # typeshed's type of a factory changed with 3.13.
    cast(Any, loop).set_task_factory(factory)
    assert loop.get_task_factory() is factory

    async def main() -> None:
        task = asyncio.create_task(answer(), name="named")
        assert type(task) is Mine
        assert task.get_name() == "named"
        assert await task == 42
        context = contextvars.copy_context()
        await asyncio.create_task(answer(), context=context)
        assert given[-1]["context"] is context

    run(main())
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None


def test_a_task_factory_must_be_callable(loop: AbstractEventLoop) -> None:
    with pytest.raises(TypeError, match="callable"):
        loop.set_task_factory("no")  # type: ignore[arg-type]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_an_eager_task_runs_at_once_up_to_its_first_wait(
    loop: AbstractEventLoop, run: Run
) -> None:
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]

    async def main() -> None:
        ran: list[str] = []

        async def child(waits: bool) -> str:
            ran.append("begun")
            if waits:
                await asyncio.sleep(0)
            ran.append("ended")
            return "result"

        eager = asyncio.create_task(child(False))
        assert eager.done()
        assert eager.result() == "result"
        waits = asyncio.create_task(child(True))
        assert ran == ["begun", "ended", "begun"]
        assert await waits == "result"

    run(main())


def test_a_thousand_tasks_gather_in_order(loop: AbstractEventLoop, run: Run) -> None:
    async def main() -> list[int]:
        async def number(value: int) -> int:
            await asyncio.sleep(value % 7 / 10_000)
            return value

        return await asyncio.gather(*(number(n) for n in range(1000)))

    assert run(main()) == list(range(1000))


async def test_a_task_group_cancels_the_others(loop: AbstractEventLoop) -> None:
    waiting = loop.create_future()

    async def fails() -> None:
        raise ValueError("one fails")

    async def waits() -> None:
        await waiting

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waits())
            group.create_task(fails())

    with pytest.raises(ExceptionGroup):
        await together()
    assert waiting.cancelled()

"""Exceptions from callbacks: some are reported, some escape, and nothing is lost."""

import asyncio
import contextvars
import gc
import logging
import sys
from asyncio import AbstractEventLoop
from typing import Any

import pytest
from loops import Reported, Run, run_iterations

from .peers import Wire, connected
from .protocols import Recorder


class Particular(Exception):
    """Raised only by these tests."""


def fails(error: BaseException) -> None:
    raise error


def test_a_failing_callback_is_reported_with_its_handle_and_the_iteration_goes_on(
    loop: AbstractEventLoop, reported: Reported
) -> None:
    error = Particular("why")
    ran: list[str] = []
    handle = loop.call_soon(fails, error)
    loop.call_soon(ran.append, "after")

    run_iterations(loop)

    (context,) = reported
    assert context["message"].startswith("Exception in callback ")
    assert "fails" in context["message"]
    assert context["exception"] is error
    assert context["handle"] is handle
    assert set(context) == {"message", "exception", "handle"}
    assert ran == ["after"]
    reported.clear()


def test_a_failing_timer_is_reported_with_its_handle(
    loop: AbstractEventLoop, reported: Reported
) -> None:
    error = Particular()
    handle = loop.call_later(0, fails, error)

    run_iterations(loop)

    context = reported.pop()
    assert context["message"].startswith("Exception in callback ")
    assert context["exception"] is error
    assert context["handle"] is handle


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), GeneratorExit(), BaseException("base")]
)
def test_base_exceptions_other_than_exits_are_reported_too(
    loop: AbstractEventLoop, reported: Reported, error: BaseException
) -> None:
    loop.call_soon(fails, error)
    run_iterations(loop)
    assert reported.pop()["exception"] is error


@pytest.mark.parametrize("exit_error", [KeyboardInterrupt, SystemExit])
def test_an_exit_escapes_and_the_rest_of_the_iteration_runs_in_the_next_run(
    loop: AbstractEventLoop, exit_error: type[BaseException]
) -> None:
    ran: list[str] = []
    loop.call_soon(ran.append, "before")
    loop.call_soon(fails, exit_error())
    loop.call_soon(ran.append, "after")
    loop.call_later(0, ran.append, "timer")

    with pytest.raises(exit_error):
        loop.run_forever()
    assert ran == ["before"]
    assert not loop.is_running()

    run_iterations(loop)
    assert ran == ["before", "after", "timer"]


@pytest.mark.parametrize("exit_error", [KeyboardInterrupt, SystemExit])
def test_of_timers_that_are_due_together_an_exit_loses_none(
    loop: AbstractEventLoop, exit_error: type[BaseException]
) -> None:
    ran: list[int] = []
    past = loop.time() - 1
    for number in range(5):
        loop.call_at(past + number / 1000, ran.append, number)
    loop.call_at(past + 1.5 / 1000, fails, exit_error())

    with pytest.raises(exit_error):
        loop.run_forever()
    assert ran == [0, 1]

    run_iterations(loop)
    assert ran == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("exit_error", [KeyboardInterrupt, SystemExit])
def test_an_exit_from_a_task_escapes_run_until_complete(
    loop: AbstractEventLoop, exit_error: type[BaseException]
) -> None:
    ran: list[str] = []

    async def main() -> None:
        loop.call_soon(ran.append, "after")
        raise exit_error

    with pytest.raises(exit_error):
        loop.run_until_complete(main())
    run_iterations(loop)
    assert ran == ["after"]


def test_an_exit_from_data_received_escapes_and_the_connection_lives_on(
    loop: AbstractEventLoop, run: Run, wire: Wire
) -> None:
    class Exits(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if data == b"exit":
                raise SystemExit

    begin, went_on = loop.create_future(), loop.create_future()

    async def main() -> None:
        async with connected(Exits, wire) as (protocol, peer):
            begin.set_result(None)
            peer.send(b"exit")
            await protocol.got(4)
            peer.send(b"more")
            assert await protocol.got(8) == b"exitmore"
        went_on.set_result(None)

    task = loop.create_task(main())
    with pytest.raises(SystemExit):
        loop.run_until_complete(task)
    assert begin.done()
    run(asyncio.wait_for(went_on, 10))
    assert task.done()


def test_many_connections_lose_nothing_when_an_exit_escapes_from_one(
    loop: AbstractEventLoop, run: Run
) -> None:
    """The others still get what the kernel reported for them in that iteration."""

    class Exits(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise SystemExit

    async def main() -> None:
        async with (
            connected(Exits) as (exits, first),
            connected(Recorder) as (left, second),
            connected(Recorder) as (right, third),
        ):
            second.send(b"left")
            first.send(b"x")
            third.send(b"right")
            assert await left.got(4) == b"left"
            assert await right.got(5) == b"right"
            assert await exits.got(1) == b"x"

    task = loop.create_task(main())
    with pytest.raises(SystemExit):
        loop.run_until_complete(task)
    run(asyncio.wait_for(task, 10))


def test_without_a_handler_the_error_is_logged(
    loop: AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    loop.set_exception_handler(None)
    error = Particular("why")
    loop.call_soon(fails, error)

    with caplog.at_level(logging.ERROR, "asyncio"):
        run_iterations(loop)

    (record,) = caplog.records
    assert record.name == "asyncio"
    assert record.getMessage().startswith("Exception in callback ")
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_handler_that_fails_is_logged_and_the_loop_goes_on(
    loop: AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(_: AbstractEventLoop, context: dict[str, Any]) -> None:
        raise Particular("the handler's own")

    loop.set_exception_handler(handler)
    ran: list[str] = []
    loop.call_soon(fails, ValueError())
    loop.call_soon(ran.append, "after")

    with caplog.at_level(logging.ERROR, "asyncio"):
        run_iterations(loop)

    assert "Unhandled error in exception handler" in caplog.text
    assert ran == ["after"]


def test_an_exit_raised_by_the_handler_escapes(loop: AbstractEventLoop) -> None:
    def handler(_: AbstractEventLoop, context: dict[str, Any]) -> None:
        raise SystemExit

    loop.set_exception_handler(handler)
    ran: list[str] = []
    loop.call_soon(fails, ValueError())
    loop.call_soon(ran.append, "after")

    with pytest.raises(SystemExit):
        loop.run_forever()
    run_iterations(loop)
    assert ran == ["after"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio does so since 3.12")
def test_the_handler_runs_in_the_context_of_what_failed(
    loop: AbstractEventLoop,
) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar(
        "name", default="outside"
    )
    seen: list[str] = []
    loop.set_exception_handler(lambda *_: seen.append(name.get()))
    context = contextvars.copy_context()
    context.run(name.set, "inside")

    loop.call_soon(fails, Particular(), context=context)
    run_iterations(loop)

    assert seen == ["inside"]


def test_a_handler_must_be_callable(loop: AbstractEventLoop) -> None:
    with pytest.raises(TypeError, match="callable"):
        loop.set_exception_handler("no")  # type: ignore[arg-type]
    assert loop.get_exception_handler() is not None


def test_a_future_exception_nobody_looked_at_is_reported(
    loop: AbstractEventLoop, reported: Reported
) -> None:
    async def main() -> None:
        raise Particular

    task = loop.create_task(main())
    run_iterations(loop)
    run_iterations(loop)
    del task
    gc.collect()

    context = reported.pop()
    assert context["message"] == "Task exception was never retrieved"
    assert isinstance(context["exception"], Particular)

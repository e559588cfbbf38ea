"""What debug mode refuses, and what it reports."""

import asyncio
import logging
import os
import re
import subprocess
import sys
import threading
import time
from asyncio import AbstractEventLoop

import pytest
from loops import Reported, Run, in_words, run_iterations

from .test_exceptions import Particular, fails


@pytest.fixture
def debugged(loop: AbstractEventLoop) -> AbstractEventLoop:
    loop.set_debug(True)
    return loop


def test_debug_is_off_unless_asked_for(loop: AbstractEventLoop) -> None:
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    assert "debug=True" in repr(loop)


def test_the_environment_switches_debug_on(loop_kind: str) -> None:
    module, _, name = in_words(loop_kind).partition(":")
    script = (
        f"import {module}; loop = {module}.{name}(); "
        "print(loop.get_debug()); loop.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONASYNCIODEBUG": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def test_a_slow_callback_is_logged_with_its_time(
    debugged: AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    def slow_callback() -> None:
        time.sleep(0.02)

    debugged.slow_callback_duration = 0.01
    debugged.call_soon(slow_callback)

    with caplog.at_level(logging.WARNING, "asyncio"):
        run_iterations(debugged)

    messages = [record.getMessage() for record in caplog.records]
    (message,) = [text for text in messages if "slow_callback" in text]
    assert message.startswith("Executing <Handle ")
    took = re.search(r" took (\d+\.\d{3}) seconds$", message)
    assert took is not None, message
    assert float(took[1]) >= 0.02


def test_a_slow_task_step_is_logged_by_the_name_of_its_coroutine(
    debugged: AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def slow_coroutine() -> None:
        time.sleep(0.02)

    debugged.slow_callback_duration = 0.01
    with caplog.at_level(logging.WARNING, "asyncio"):
        debugged.run_until_complete(slow_coroutine())

    messages = [record.getMessage() for record in caplog.records]
    assert [text for text in messages if "slow_coroutine" in text and "took" in text]


def test_nothing_is_logged_of_quick_callbacks(
    debugged: AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    debugged.slow_callback_duration = 60
    with caplog.at_level(logging.WARNING, "asyncio"):
        debugged.call_soon(lambda: None)
        run_iterations(debugged)
    assert caplog.records == []


def test_slow_callback_duration_is_a_tenth_of_a_second_at_first(
    loop: AbstractEventLoop,
) -> None:
    assert loop.slow_callback_duration == 0.1


def test_what_is_not_callable_is_refused_at_once(debugged: AbstractEventLoop) -> None:
    async def coroutine() -> None: ...

    for refused in ("not callable", 3, None):
        with pytest.raises(TypeError, match="callable"):
            debugged.call_soon(refused)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="callable"):
            debugged.call_later(1, refused)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="callable"):
            debugged.call_at(1, refused)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="callable"):
            debugged.call_soon_threadsafe(refused)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="coroutines cannot be used with call_soon"):
        debugged.call_soon(coroutine)
    with pytest.raises(TypeError, match="coroutines cannot be used with call_at"):
        debugged.call_at(0, coroutine)


def test_without_debug_what_is_not_callable_is_reported_when_it_runs(
    loop: AbstractEventLoop, reported: Reported
) -> None:
    loop.call_soon("not callable")  # type: ignore[arg-type]
    run_iterations(loop)
    context = reported.pop()
    assert context["message"].startswith("Exception in callback ")
    assert isinstance(context["exception"], TypeError)


def test_call_soon_from_another_thread_is_refused_while_the_loop_runs(
    debugged: AbstractEventLoop, run: Run
) -> None:
    errors: list[str] = []

    def elsewhere() -> None:
        for call in (
            lambda: debugged.call_soon(print),
            lambda: debugged.call_later(0, print),
            lambda: debugged.call_at(0, print),
        ):
            try:
                call()
            except RuntimeError as error:
                errors.append(str(error))

    async def main() -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    run(main())
    assert len(errors) == 3
    assert all(text.startswith("Non-thread-safe operation") for text in errors)


def test_call_soon_from_another_thread_is_allowed_while_the_loop_is_idle(
    debugged: AbstractEventLoop,
) -> None:
    ran: list[str] = []
    thread = threading.Thread(target=debugged.call_soon, args=(ran.append, "ran"))
    thread.start()
    thread.join()
    run_iterations(debugged)
    assert ran == ["ran"]


def test_a_report_tells_where_the_callback_was_given(
    debugged: AbstractEventLoop, reported: Reported
) -> None:
    debugged.call_soon(fails, Particular())
    run_iterations(debugged)
    context = reported.pop()
    (last,) = [
        frame for frame in context["source_traceback"] if frame.filename == __file__
    ][-1:]
    assert last.name == "test_a_report_tells_where_the_callback_was_given"
    assert "call_soon" in (last.line or "")


def test_the_traceback_of_a_timer_ends_where_call_later_was_called(
    debugged: AbstractEventLoop, reported: Reported
) -> None:
    debugged.call_later(0, fails, Particular())
    run_iterations(debugged)
    context = reported.pop()
    assert context["source_traceback"][-1].filename == __file__


async def test_debug_follows_a_change_while_the_loop_runs(
    loop: AbstractEventLoop,
) -> None:
    depth = sys.get_coroutine_origin_tracking_depth()
    loop.set_debug(True)
    await asyncio.sleep(0.001)
    assert sys.get_coroutine_origin_tracking_depth() > depth
    with pytest.raises(TypeError):
        loop.call_soon("not callable")  # type: ignore[arg-type]
    loop.set_debug(False)
    await asyncio.sleep(0.001)
    assert sys.get_coroutine_origin_tracking_depth() == depth


def test_a_timer_says_whether_it_is_scheduled(loop: AbstractEventLoop) -> None:
    loop.set_debug(True)
    timer = loop.call_later(0, loop.stop)
    assert timer._scheduled  # type: ignore[attr-defined]

    loop.run_forever()

    assert not timer._scheduled  # type: ignore[attr-defined]

"""What runs in an iteration, in which order, and what a handle can do."""

import asyncio
import gc
import weakref
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence

import pytest
from loops import run_iterations


def test_callbacks_run_in_the_order_they_were_given(loop: AbstractEventLoop) -> None:
    ran: list[int] = []
    for number in range(1000):
        loop.call_soon(ran.append, number)

    run_iterations(loop)

    assert ran == list(range(1000))


def test_a_callback_given_by_a_callback_waits_for_the_next_iteration(
    loop: AbstractEventLoop,
) -> None:
    ran: list[str] = []

    def first() -> None:
        ran.append("first")
        loop.call_soon(ran.append, "given by first")

    loop.call_soon(first)
    loop.call_soon(ran.append, "second")

    run_iterations(loop)
    assert ran == ["first", "second"]
    run_iterations(loop)
    assert ran == ["first", "second", "given by first"]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_positional_arguments_are_passed_on(
    loop: AbstractEventLoop, count: int
) -> None:
    got: list[tuple[int, ...]] = []

    def callback(*args: int) -> None:
        got.append(args)

    loop.call_soon(callback, *range(count))
    run_iterations(loop)

    assert got == [tuple(range(count))]


@pytest.mark.parametrize("debug", [False, True])
def test_handles_are_asyncios(loop: AbstractEventLoop, debug: bool) -> None:
    loop.set_debug(debug)
    handle = loop.call_soon(print)
    timer = loop.call_later(1000, print)

    assert isinstance(handle, asyncio.Handle)
    assert not isinstance(handle, asyncio.TimerHandle)
    assert isinstance(timer, asyncio.TimerHandle)
    assert isinstance(timer, asyncio.Handle)
    for each in (handle, timer):
        each.cancel()


def test_call_soon_takes_no_keyword_but_context(loop: AbstractEventLoop) -> None:
    with pytest.raises(TypeError):
        loop.call_soon(print, end="")  # type: ignore[call-arg]


def test_a_cancelled_callback_does_not_run(loop: AbstractEventLoop) -> None:
    ran: list[str] = []
    handle = loop.call_soon(ran.append, "cancelled")
    loop.call_soon(ran.append, "kept")

    handle.cancel()
    handle.cancel()
    run_iterations(loop)

    assert handle.cancelled()
    assert ran == ["kept"]


def cancel_the_first_of(handles: Sequence[asyncio.Handle]) -> None:
    handles[0].cancel()


def test_a_callback_can_cancel_a_later_one_of_the_same_iteration(
    loop: AbstractEventLoop,
) -> None:
    ran: list[str] = []
    handles: list[asyncio.Handle] = []
    loop.call_soon(cancel_the_first_of, handles)
    handles.append(loop.call_soon(ran.append, "late"))

    run_iterations(loop)

    assert ran == []


def test_a_handle_can_be_cancelled_after_it_ran(loop: AbstractEventLoop) -> None:
    ran: list[str] = []
    handle = loop.call_soon(ran.append, "ran")
    run_iterations(loop)

    handle.cancel()

    assert handle.cancelled()
    run_iterations(loop)
    assert ran == ["ran"]


def test_a_callback_can_cancel_its_own_handle(loop: AbstractEventLoop) -> None:
    ran: list[str] = []
    handles: list[asyncio.Handle] = []

    def callback(word: str) -> None:
        handles[0].cancel()
        ran.append(word)

    handles.append(loop.call_soon(callback, "ran"))
    run_iterations(loop)

    assert ran == ["ran"]
    assert handles[0].cancelled()


def test_a_handle_that_ran_is_not_cancelled(loop: AbstractEventLoop) -> None:
    handle = loop.call_soon(lambda: None)
    assert not handle.cancelled()
    run_iterations(loop)
    assert not handle.cancelled()


def test_handles_kept_by_their_owners_are_never_used_again(
    loop: AbstractEventLoop,
) -> None:
    """A loop may reuse the memory of handles, but only if nobody holds them:
    cancelling an old handle must not cancel another callback."""
    ran: list[int] = []
    old = [loop.call_soon(lambda: None) for _ in range(100)]
    run_iterations(loop)

    for number in range(100):
        loop.call_soon(ran.append, number)
    for handle in old:
        handle.cancel()
    run_iterations(loop)

    assert ran == list(range(100))


class Thing:
    """Can be the target of a weak reference."""

    def method(self, *_: object) -> None:
        pass


def test_cancelling_frees_callback_and_arguments_at_once(
    loop: AbstractEventLoop,
) -> None:
    callback, argument = Thing(), Thing()
    gone = [weakref.ref(callback), weakref.ref(argument)]
    handle = loop.call_soon(callback.method, argument)
    del callback, argument

    handle.cancel()
    gc.collect()

    assert [ref() for ref in gone] == [None, None]


def test_nothing_of_a_callback_is_kept_once_it_has_run(
    loop: AbstractEventLoop,
) -> None:
    callback, argument = Thing(), Thing()
    gone = [weakref.ref(callback), weakref.ref(argument)]
    loop.call_soon(callback.method, argument)
    del callback, argument

    run_iterations(loop)
    gc.collect()

    assert [ref() for ref in gone] == [None, None]


def test_a_handle_can_be_referenced_weakly(loop: AbstractEventLoop) -> None:
    handle = loop.call_soon(lambda: None)
    assert weakref.ref(handle)() is handle
    timer = loop.call_later(1000, lambda: None)
    assert weakref.ref(timer)() is timer
    timer.cancel()
    run_iterations(loop)


def test_the_repr_of_a_handle_names_its_callback_until_it_is_cancelled(
    loop: AbstractEventLoop,
) -> None:
    def a_callback_with_a_name() -> None: ...

    soon = loop.call_soon(a_callback_with_a_name)
    later = loop.call_later(1000, a_callback_with_a_name)
    for handle in (soon, later):
        assert "a_callback_with_a_name" in repr(handle)
        assert " cancelled" not in repr(handle)
        handle.cancel()
        assert " cancelled" in repr(handle)


def test_a_callback_on_a_closed_loop_is_refused(loop: AbstractEventLoop) -> None:
    loop.close()
    calls: list[Callable[[], object]] = [
        lambda: loop.call_soon(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_at(1, print),
        lambda: loop.call_soon_threadsafe(print),
    ]
    for give in calls:
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            give()


def test_what_was_not_run_when_the_loop_closes_is_dropped(
    loop: AbstractEventLoop,
) -> None:
    ran: list[Thing] = []
    argument = Thing()
    gone = weakref.ref(argument)
    loop.call_soon(ran.append, argument)
    loop.call_later(0, ran.append, argument)
    del argument

    loop.close()
    gc.collect()

    assert ran == []
    assert gone() is None


def test_call_soon_before_the_loop_ever_runs(loop: AbstractEventLoop) -> None:
    ran: list[str] = []
    loop.call_soon(ran.append, "early")
    run_iterations(loop)
    assert ran == ["early"]

"""Handles come from a free list; one that is still referenced stays cancelled."""

import asyncio
import gc
import weakref

import pytest
from loops import run_iterations

pytestmark = pytest.mark.ours_only


def test_a_cancelled_handle_that_is_kept_is_not_used_for_another_call(
    loop: asyncio.AbstractEventLoop,
) -> None:
    kept = [loop.call_soon(print) for _ in range(600)]
    for handle in kept:
        handle.cancel()
    run_iterations(loop)
    ran: list[int] = []
    new = [loop.call_soon(ran.append, number) for number in range(1200)]

    assert not set(map(id, kept)) & set(map(id, new))
    for handle in kept:
        handle.cancel()
    run_iterations(loop)

    assert ran == list(range(1200))
    assert all(handle.cancelled() for handle in kept)


def test_a_handle_from_the_free_list_remembers_nothing(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Not its cancellation, callback, arguments or context."""
    for _ in range(600):
        loop.call_soon(print, "cancelled").cancel()
    run_iterations(loop)
    ran: list[str] = []

    for _ in range(600):
        handle = loop.call_soon(ran.append, "fresh")
        assert not handle.cancelled()
    run_iterations(loop)

    assert ran == ["fresh"] * 600


def test_a_handle_frees_its_arguments_once_it_is_cancelled(
    loop: asyncio.AbstractEventLoop,
) -> None:
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    handle = loop.call_soon(print, argument)
    del argument

    handle.cancel()

    assert alive() is None
    run_iterations(loop)


def test_a_callback_may_cancel_its_own_handle(loop: asyncio.AbstractEventLoop) -> None:
    ran: list[object] = []
    argument = object()

    def callback(given: object) -> None:
        handle.cancel()
        gc.collect()
        ran.append(given)

    handle = loop.call_soon(callback, argument)
    run_iterations(loop)

    assert ran == [argument]


def test_a_callback_may_cancel_the_one_that_comes_next(
    loop: asyncio.AbstractEventLoop,
) -> None:
    ran: list[str] = []
    second: asyncio.Handle
    loop.call_soon(lambda: second.cancel())
    second = loop.call_soon(ran.append, "second")
    loop.call_soon(ran.append, "third")
    run_iterations(loop)

    assert ran == ["third"]


def test_the_ready_queue_grows_while_it_is_being_run(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Beyond its initial capacity, with its head in mid-array; the order is kept."""
    ran: list[int] = []
    expected: list[int] = []

    def add(count: int) -> None:
        for _ in range(count):
            number = len(expected)
            expected.append(number)
            loop.call_soon(ran.append, number)

    add(200)
    run_iterations(loop)
    for count in (100, 300, 1000):
        loop.call_soon(add, count)
        loop.call_soon(add, count)
        run_iterations(loop)
        run_iterations(loop)

    assert ran == expected

"""Readers that are ready in the same iteration: the first may remove the others."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator

import pytest
from loops import run_iterations

pytestmark = pytest.mark.ours_only

Pairs = list[tuple[socket.socket, socket.socket]]


@pytest.fixture
def pairs(nothing_is_left: None) -> Iterator[Pairs]:
    """Two pairs; both of our ends have something to read."""
    pairs = [socket.socketpair() for _ in range(2)]
    for ours, theirs in pairs:
        ours.setblocking(False)
        theirs.send(b"x")
    yield pairs
    for pair in pairs:
        for sock in pair:
            sock.close()


def watch_both(
    loop: asyncio.AbstractEventLoop,
    pairs: Pairs,
    first: Callable[[socket.socket], object],
) -> list[socket.socket]:
    """Returns whose callbacks ran; the first calls *first* with the other socket."""
    ran: list[socket.socket] = []

    def readable(sock: socket.socket, other: socket.socket) -> None:
        ran.append(sock)
        if len(ran) == 1:
            first(other)

    (a, _), (b, _) = pairs
    loop.add_reader(a, readable, a, b)
    loop.add_reader(b, readable, b, a)
    return ran


def test_a_reader_that_the_first_one_removes_is_not_called(
    loop: asyncio.AbstractEventLoop, pairs: Pairs
) -> None:
    ran = watch_both(loop, pairs, loop.remove_reader)
    run_iterations(loop, 5)

    assert len(ran) >= 2
    assert len(set(ran)) == 1
    loop.remove_reader(ran[0])


def test_a_reader_whose_descriptor_the_first_one_closes_is_not_called(
    loop: asyncio.AbstractEventLoop, pairs: Pairs
) -> None:
    def close(other: socket.socket) -> None:
        loop.remove_reader(other)
        other.close()

    ran = watch_both(loop, pairs, close)
    run_iterations(loop, 5)

    assert len(set(ran)) == 1
    loop.remove_reader(ran[0])


def test_a_new_file_with_an_old_number_is_not_told_what_the_old_one_had(
    loop: asyncio.AbstractEventLoop, pairs: Pairs
) -> None:
    """It has the old number but nothing to read."""
    told: list[str] = []
    opened: list[int] = []

    def replace(other: socket.socket) -> None:
        number = other.fileno()
        loop.remove_reader(other)
        other.close()
        reading, writing = os.pipe()
        opened.extend([reading, writing])
        if reading != number:
            os.dup2(reading, number)
            opened.append(number)
        loop.add_reader(number, told.append, "told")
        opened.insert(0, number)

    ran = watch_both(loop, pairs, replace)
    run_iterations(loop, 5)
    assert len(set(ran)) == 1
    assert told == []

    os.write(opened[2], b"now")
    run_iterations(loop, 3)
    assert told
    loop.remove_reader(opened[0])
    loop.remove_reader(ran[0])
    for fd in set(opened):
        os.close(fd)


def test_a_reader_that_the_first_one_replaces_is_called_in_its_new_form_only(
    loop: asyncio.AbstractEventLoop, pairs: Pairs
) -> None:
    new: list[str] = []
    ran = watch_both(
        loop, pairs, lambda other: loop.add_reader(other, new.append, "new")
    )
    run_iterations(loop, 5)

    assert len(set(ran)) == 1
    assert new
    for ours, _ in pairs:
        loop.remove_reader(ours)


def test_removing_and_adding_a_reader_in_one_iteration_keeps_it_level_triggered(
    loop: asyncio.AbstractEventLoop, pairs: Pairs
) -> None:
    (ours, theirs), _ = pairs
    calls: list[int] = []
    for number in range(20):
        loop.add_reader(ours, calls.append, number)
        loop.remove_reader(ours)
        loop.add_reader(ours, calls.append, number)
        run_iterations(loop, 2)
        assert calls[-1] == number
        loop.remove_reader(ours)
        run_iterations(loop, number % 3)
    assert ours.recv(10) == b"x"
    loop.add_reader(ours, calls.append, -1)
    run_iterations(loop, 3)
    assert calls[-1] == 19
    theirs.send(b"y")
    run_iterations(loop, 3)
    assert calls[-1] == -1
    loop.remove_reader(ours)

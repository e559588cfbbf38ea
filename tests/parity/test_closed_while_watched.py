"""Descriptors that are closed before their reader or writer is removed, the usual order."""

import gc
import os
import socket
import weakref
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from loops import run_iterations

from .test_readers_and_writers import Pair, pair

__all__ = ["pair"]


@pytest.mark.closes_what_is_watched
@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_what_was_closed_first_can_still_be_removed_once(
    loop: AbstractEventLoop, kind: str
) -> None:
    """A closed socket has no descriptor; the loop recognises the object."""
    add = getattr(loop, f"add_{kind}")
    remove = getattr(loop, f"remove_{kind}")
    ours, theirs = socket.socketpair()
    add(ours, pytest.fail, "it is closed")
    ours.close()
    theirs.close()

    assert remove(ours)

    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        remove(ours)


@pytest.mark.closes_what_is_watched
@pytest.mark.parametrize("by", ["number", "object"])
def test_what_was_closed_and_then_removed_is_not_kept(
    loop: AbstractEventLoop, by: str
) -> None:
    """The usual order, and a program does it for each connection it ever has."""

    def callback() -> None:
        pytest.fail("it is closed")

    ours, theirs = socket.socketpair()
    number = ours.fileno()
    sock, called = weakref.ref(ours), weakref.ref(callback)
    loop.add_reader(ours, callback)
    ours.close()
    theirs.close()
    assert loop.remove_reader(ours if by == "object" else number)

    del ours, callback
    gc.collect()
    assert (sock(), called()) == (None, None)


def outcome(call: Callable[..., object], *args: object) -> object:
    try:
        return call(*args)
    except (OSError, ValueError) as exc:
        return f"{type(exc).__name__}: {exc}"


MISSING = "FileNotFoundError: [Errno 2] No such file or directory"
NO_NUMBER = "ValueError: Invalid file descriptor: -1"


@dataclass
class Story:
    """A socket is watched and closed; the next one has its number."""

    watched: tuple[str, ...]
    next_watched: str | None
    added: object
    """What adding the next one gives; None if it is done."""
    called: list[str]
    """Who is called then."""
    removed: dict[str, tuple[object, object]]
    """What removing the reader and then the writer gives: by number, by the closed
    socket, by the next one."""


#: As asyncio's loop does it, whose selector knows numbers and only asks epoll for a
#: change of the events.
STORIES = [
    Story(("reader",), None, None, [],
          {"number": (True, False), "old": (True, NO_NUMBER), "new": (True, False)}),
    Story(("writer",), None, None, [],
          {"number": (False, True), "old": (False, True), "new": (False, True)}),
    Story(("reader",), "reader", None, [],
          {"number": (True, False), "old": (True, NO_NUMBER), "new": (True, False)}),
    Story(("reader",), "writer", MISSING, [],
          {"number": (False, False), "old": (NO_NUMBER, NO_NUMBER),
           "new": (False, False)}),
    Story(("writer",), "reader", MISSING, [],
          {"number": (False, False), "old": (NO_NUMBER, NO_NUMBER),
           "new": (False, False)}),
    Story(("reader", "writer"), None, None, [],
          {"number": (MISSING, False), "old": (MISSING, NO_NUMBER),
           "new": (MISSING, False)}),
    Story(("reader", "writer"), "writer", None, [],
          {"number": (MISSING, False), "old": (MISSING, NO_NUMBER),
           "new": (MISSING, False)}),
]  # fmt: skip


@pytest.mark.closes_what_is_watched
@pytest.mark.parametrize("by", ["number", "old", "new"])
@pytest.mark.parametrize(
    "story", STORIES, ids=lambda it: f"{'+'.join(it.watched)}-{it.next_watched}"
)
def test_a_number_that_was_closed_while_watched_and_is_another_sockets_by_now(
    loop: AbstractEventLoop, story: Story, by: str
) -> None:
    run_iterations(loop)  # on io_uring it makes the ring, which takes a number
    called: list[str] = []
    old, old_peer = socket.socketpair()
    number = old.fileno()
    for kind in story.watched:
        getattr(loop, f"add_{kind}")(old, called.append, "old")
    old.close()
    new, new_peer = socket.socketpair()
    assert new.fileno() == number
    new_peer.send(b"x")

    if story.next_watched is not None:
        add = getattr(loop, f"add_{story.next_watched}")
        assert outcome(add, new, called.append, "new") == story.added
    run_iterations(loop, 3)
    assert called == story.called
    fileobj: object = {"number": number, "old": old, "new": new}[by]
    removed = [
        outcome(getattr(loop, f"remove_{kind}"), fileobj)
        for kind in ("reader", "writer")
    ]

    assert tuple(removed) == story.removed[by]
    # Whatever has happened, the number can be watched afresh.
    loop.add_reader(new, called.append, "afresh")
    run_iterations(loop, 2)
    assert set(called) == {"afresh"}
    assert loop.remove_reader(new)
    for sock in (old_peer, new, new_peer):
        sock.close()


@pytest.mark.closes_what_is_watched
def test_a_number_that_is_refused_once_can_be_watched_the_next_time(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    """Its file was closed while it was watched, and the number is in use again."""
    ours, theirs = pair
    seen: list[str] = []
    with socket.socket() as other:
        fd = other.fileno()
        loop.add_writer(fd, print, "a writer of what is closed")
        os.dup2(ours.fileno(), fd)
        theirs.send(b"x")
        with pytest.raises(FileNotFoundError):
            loop.add_reader(fd, seen.append, "refused")
        loop.add_reader(fd, seen.append, "reader")
        run_iterations(loop, 2)
        loop.remove_reader(fd)
    assert set(seen) == {"reader"}


@pytest.mark.closes_what_is_watched
def test_what_is_refused_when_a_reader_is_removed_is_gone_too(
    loop: AbstractEventLoop, pair: Pair
) -> None:
    with socket.socket() as other:
        fd = other.fileno()
        loop.add_writer(fd, print, "a writer of what is closed")
        loop.add_reader(fd, print, "a reader of what is closed")
        os.dup2(pair[0].fileno(), fd)
        with pytest.raises(FileNotFoundError):
            loop.remove_reader(fd)
        assert not loop.remove_writer(fd)

"""Timers, readers and sockets left over when a loop or a descriptor is closed."""

import asyncio
import gc
import signal
import socket
import warnings
from asyncio import AbstractEventLoop
from typing import Any

import pytest
from confined import run_confined
from loops import OURS, Run, factory_of, in_words, or_skip

pytestmark = pytest.mark.ours_only


def survives(program: str, loop_kind: str) -> None:
    """Run *program* in its own process, because the failure would be a crash."""
    _, _, name = in_words(loop_kind).partition(":")
    assert run_confined(f"loop = aioadapt.{name}()\n{program}") == "survived"


TIMER_WHOSE_ARGUMENT_CLOSES = """
import asyncio, socket


class Client:
    def __init__(self, writer):
        self.writer = writer
    def __del__(self):
        self.writer.close()
    def ping(self):
        pass

async def main():
    global ours, theirs
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    loop.call_later(100, Client(writer).ping)

loop.run_until_complete(main())
loop.close()
print("survived")
"""


def test_a_timer_freed_by_closing_the_loop_may_close_a_writer(loop_kind: str) -> None:
    survives(TIMER_WHOSE_ARGUMENT_CLOSES, loop_kind)


READERS_CLOSED_BEHIND_DUPLICATES = """
import asyncio, gc, socket

async def main():
    kept = []
    for _ in range(200):
        ours, peer = socket.socketpair()
        kept.append((peer, ours.dup()))
        fd = ours.fileno()
        loop.add_reader(fd, print, "a reader that was removed")
        ours.close()
        loop.remove_reader(fd)
    gc.collect()
    junk = [bytes(range(i % 200)) for i in range(20000)]
    for peer, _ in kept:
        peer.send(b"x")
    for _ in range(20):
        await asyncio.sleep(0)
    done = loop.create_future()
    loop.call_later(0.01, done.set_result, None)
    await done

loop.run_until_complete(main())
loop.close()
print("survived")
"""


def test_readers_removed_after_their_descriptor_was_closed_are_not_called(
    loop_kind: str,
) -> None:
    """A duplicate keeps the registration in the kernel, and nothing can remove it."""
    survives(READERS_CLOSED_BEHIND_DUPLICATES, loop_kind)


def test_a_loop_that_was_never_closed_is_collected_with_a_warning(
    loop_kind: str,
) -> None:
    loop: AbstractEventLoop | None = factory_of(loop_kind)()
    assert loop is not None
    loop.run_until_complete(asyncio.sleep(0))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = None
        gc.collect()

    assert [w.category for w in caught] == [ResourceWarning]
    assert str(caught[0].message).startswith("unclosed event loop")


def test_waiting_for_bytes_leaves_nothing_for_the_collector(
    loop: AbstractEventLoop, run: Run
) -> None:
    times = 200

    async def main() -> int:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            gc.collect()
            gc.disable()
            try:
                before = len(gc.get_objects())
                for _ in range(times):
                    receiving = asyncio.ensure_future(loop.sock_recv(ours, 1))
                    await asyncio.sleep(0)
                    theirs.send(b"x")
                    assert await receiving == b"x"
                return len(gc.get_objects()) - before
            finally:
                gc.enable()

    assert run(main()) < times // 2


def test_a_loop_closes_although_its_own_sockets_were_collected_first(
    loop: AbstractEventLoop,
) -> None:
    """The garbage collector finalizes the objects of a cycle in any order."""
    inside: Any = loop
    loop.add_signal_handler(signal.SIGUSR1, print)
    inside._ssock.close()
    inside._csock.close()

    loop.close()

    assert loop.is_closed()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


WITHOUT_DESCRIPTORS = """
import os, resource, sys

unraisable = []
sys.unraisablehook = unraisable.append
used = max(map(int, os.listdir("/proc/self/fd")))
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
for room in range(2):                  # of the two that a loop is made of
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + room, hard))
    try:
        aioadapt.{name}()
    except OSError as exc:
        assert exc.errno == 24, exc    # EMFILE
    else:
        raise AssertionError("it was made")
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
assert unraisable == [], unraisable
aioadapt.{name}().close()
assert max(map(int, os.listdir("/proc/self/fd"))) == used
"""


@pytest.mark.parametrize("kind", OURS)
def test_a_loop_that_cannot_be_made_leaves_nothing(kind: str) -> None:
    _, _, name = in_words(or_skip(kind)).partition(":")
    run_confined(WITHOUT_DESCRIPTORS.format(name=name))
